"""What the churn benchmark found: a row an event, the judgement, the table."""
from churn_scene import NAMES

OURS, BARE, EVERY = NAMES
FACTOR = 2  # entries of `sluice`: at most so many times those that the moved slots' share of all flows would need


def entries_of(service):
    """Flows in the table; None where this agent does not count them."""
    counts = [each.get("flows") for each in service["backends"]]
    return None if None in counts else sum(counts)


def row(event, happened, reports, status):
    """All that is known of an event, as it goes into the results."""
    shown = {service["wanted"]["name"]: service for service in status["services"]}
    services = {}
    for name in NAMES:
        report, service = reports[name], shown[name]
        ring = sum(each["slots"] for each in service["backends"])
        broken = {backend: sum(causes.values()) for backend, causes in report["broken"].items()}
        services[name] = {
            "broken": sum(broken.values()),
            "broken_of_others": sum(count for backend, count in broken.items() if backend != event.removed),
            "causes": report["broken"],
            "moved_share": happened.moved[name],
            "tracked_share": service["tracked_slots"] / ring if ring else 0.0,
            "entries": entries_of(service),
            "open": report["open"],
            "opened": report["opened"],
            "ended": report["ended"],
            "not_opened": report["not_opened"],
            "echoes": report["echoes"],
            "slowest_echo_ms": report["slowest_echo_ms"],
        }
    return {"event": event.name, "removed": event.removed, "is_moved_exact": happened.is_moved_exact,
            "change_seconds": happened.change_seconds, "kills": happened.kills, "flood": happened.flood,
            "flow_table": status.get("flow_table"), "services": services, "entries": judge_entries(services)}


def judge_entries(services):
    """The target: tracking what moved takes a share of a full table in proportion to the share that moved."""
    ours, every = services[OURS]["entries"], services[EVERY]["entries"]
    if ours is None or not every:
        return {"ratio": None, "limit": None, "held": None}
    limit = FACTOR * services[OURS]["tracked_share"]
    return {"ratio": ours / every, "limit": limit, "held": ours / every <= limit}


def judge(rows):
    """What was promised and not kept, in words; nothing where all was."""
    failures = []
    for each in rows:
        broken, entries = each["services"][OURS]["broken_of_others"], each["entries"]
        if broken:
            failures.append(f"{each['event']}: {broken} connections of sluice broke")
        if entries["held"] is False:
            failures.append(f"{each['event']}: sluice has {entries['ratio']:.1%} of the entries of every flow, "
                            f"and may have {entries['limit']:.1%}")
    return failures


# --- for people: 80 columns ---

LINE = "{:<21}{:>7} {:>7}{:>6}{:>6}  {:>7}{:>7}{:>7} {:>8}"


def share(value, is_exact=True):
    return "-" if value is None else f"{'' if is_exact else '~'}{value:.1%}"


def count(value):
    return "-" if value is None else str(value)


def table(rows):
    order = (OURS, BARE, EVERY)
    lines = [f"{'slots':>28}  {'connections broken':^18}   {'flow-table entries':^20} {'slots':>8}",
             LINE.format("event", "moved", "sluice", "bare", "every", "sluice", "every", "ratio", "tracked")]
    for each in rows:
        services, entries = each["services"], each["entries"]
        lines.append(LINE.format(
            each["event"], share(services[OURS]["moved_share"], each["is_moved_exact"]),
            *(services[name]["broken"] for name in order),
            count(services[OURS]["entries"]), count(services[EVERY]["entries"]),
            share(entries["ratio"]), share(services[OURS]["tracked_share"])))
        if each["removed"]:
            lines.append(LINE.format(
                f"  not on {each['removed']}", "",
                *(services[name]["broken_of_others"] for name in order), "", "", "", "").rstrip())
    return "\n".join(lines)
