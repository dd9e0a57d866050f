"""What happens to the services, one event after another."""
import random
from collections.abc import Callable
from dataclasses import dataclass

from churn_scene import RING, Scene, address

KILLS = 3


@dataclass(frozen=True)
class Event:
    name: str
    act: Callable[[Scene], None]
    removed: str | None = None  # the backend whose connections end with it


def change(*command):
    return lambda scene: scene.change(*command)


def set_weight(n, weight):
    return ("backend", "set", "SERVICE", address(n), "--weight", weight)


def changes_and_back(scene):
    scene.change("backend", "drain", "SERVICE", address(3))
    scene.change(*set_weight(4, 2))
    scene.change("backend", "undrain", "SERVICE", address(3))
    scene.change(*set_weight(4, 1))


def changes_cut_short(scene):
    """Each by the agent's death at a random moment of the time that a change takes."""
    scene.change(*set_weight(4, 2))
    usual = scene.happened.change_seconds[-1]
    for weight in (3, 2, 1)[-KILLS:]:
        scene.change_and_kill(random.uniform(0, usual), *set_weight(4, weight))


EVENTS = (
    Event("nothing", lambda scene: None),
    Event("add b5", change("backend", "add", "SERVICE", address(5))),
    Event("drain b1", change("backend", "drain", "SERVICE", address(1))),
    Event("weight of b2: 3", change(*set_weight(2, 3))),
    Event("undrain b1", change("backend", "undrain", "SERVICE", address(1))),
    Event("ring twice as large", change("service", "set", "SERVICE", "--ring", 2 * RING)),
    Event("4 changes and back", changes_and_back),
    Event("SYN flood, drain b3",
          lambda scene: scene.flooded("syn", lambda: scene.change("backend", "drain", "SERVICE", address(3)))),
    Event("ACK flood, undrain b3",
          lambda scene: scene.flooded("ack", lambda: scene.change("backend", "undrain", "SERVICE", address(3)))),
    Event("kill -9 in 3 changes", changes_cut_short),
    Event("remove b2", change("backend", "del", "SERVICE", address(2)), removed="b2"),
)
