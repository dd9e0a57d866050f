#!/usr/bin/python3
"""Traffic of a lab's client: HTTP requests and UDP datagrams to the VIPs, for some seconds or a number of each.

Prints one JSON object: what each backend answered, by kind, and every failure. A kind is one of http4, http6, udp4,
udp6; each runs in a task of its own and takes a new connection (a new port) for every request. With --hold some more
connections are kept open, each for --hold-seconds and then followed by a new one, and send a request now and then; one
that breaks is a failure. SIGTERM ends it early, with the results so far.
"""
import argparse
import asyncio
import collections
import json
import signal
import socket
import time

VIPS = {"4": "192.0.2.1", "6": "2001:db8:2::1"}
TIMEOUT = 3.0


class Tally:
    def __init__(self):
        self.answers = collections.defaultdict(collections.Counter)
        self.failures = []

    def answered(self, kind, backend):
        self.answers[kind][backend] += 1

    def failed(self, kind, error):
        self.failures.append(f"{kind}: {type(error).__name__}: {error}")


async def ask(reader, writer, keep_alive):
    connection = "keep-alive" if keep_alive else "close"
    writer.write(f"GET / HTTP/1.1\r\nHost: vip\r\nConnection: {connection}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if " 200 " not in head.split("\r\n", 1)[0] + " ":
        raise ValueError(f"not 200: {head[:40]}")
    length = int(head.split("content-length:", 1)[1].split("\r\n", 1)[0])
    return (await reader.readexactly(length)).decode().strip()


async def request_http(vip):
    reader, writer = await asyncio.open_connection(vip, 80)
    try:
        return await ask(reader, writer, keep_alive=False)
    finally:
        writer.close()


class OneAnswer(asyncio.DatagramProtocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, _):
        if not self.answer.done():
            self.answer.set_result(data.decode().split()[0])

    def error_received(self, error):
        if not self.answer.done():
            self.answer.set_exception(error)


async def request_udp(vip):
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        OneAnswer, remote_addr=(vip, 53), family=family)
    try:
        transport.sendto(b"who")
        return await protocol.answer
    finally:
        transport.close()


async def repeat(tally, kind, options, is_enough):
    request = request_http if kind.startswith("http") else request_udp
    done = 0
    while not is_enough.is_set() and (options.count is None or done < options.count):
        try:
            tally.answered(kind, await asyncio.wait_for(request(VIPS[kind[-1]]), TIMEOUT))
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            tally.failed(kind, error)
        done += 1
        await asyncio.sleep(options.pause)


async def hold_once(tally, kind, seconds, is_over):
    """One connection that stays on the backend it began on."""
    until = time.monotonic() + seconds
    reader, writer = await asyncio.wait_for(asyncio.open_connection(VIPS[kind[-1]], 80), TIMEOUT)
    try:
        first = await asyncio.wait_for(ask(reader, writer, keep_alive=True), TIMEOUT)
        while time.monotonic() < until and not is_over.is_set():
            await asyncio.sleep(0.1)
            backend = await asyncio.wait_for(ask(reader, writer, keep_alive=True), TIMEOUT)
            if backend != first:
                raise ValueError(f"went from {first} to {backend}")
        tally.answered("held", first)
    finally:
        writer.close()


async def hold(tally, kind, seconds, is_over):
    while not is_over.is_set():
        try:
            await hold_once(tally, kind, seconds, is_over)
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            tally.failed("held", error)
            await asyncio.sleep(0.1)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="http4,http6,udp4,udp6")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--count", type=int, help="requests of each kind")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between a kind's requests")
    parser.add_argument("--hold", type=int, default=0, help="connections to keep open, of http4 and http6 each")
    parser.add_argument("--hold-seconds", type=float, default=3600)
    options = parser.parse_args()
    tally = Tally()
    loop = asyncio.get_running_loop()
    is_enough = asyncio.Event()
    loop.call_later(options.seconds, is_enough.set)
    loop.add_signal_handler(signal.SIGTERM, is_enough.set)
    kinds = options.kinds.split(",")
    is_over = asyncio.Event()
    held = [asyncio.create_task(hold(tally, kind, options.hold_seconds, is_over))
            for kind in kinds if kind.startswith("http") for _ in range(options.hold)]
    await asyncio.gather(*(repeat(tally, kind, options, is_enough) for kind in kinds))
    is_over.set()
    await asyncio.gather(*held)
    print(json.dumps({"answers": tally.answers, "failures": tally.failures}))


if __name__ == "__main__":
    asyncio.run(main())
