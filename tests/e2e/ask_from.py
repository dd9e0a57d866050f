#!/usr/bin/python3
"""Asks one VIP from fixed source ports, so that the same flows can be asked again:

    ask_from.py tcp|udp VIP PORT FIRST COUNT ROUNDS

Prints {"source port": "the backend that answered"} as JSON; null where nobody did within ROUNDS half seconds, with a
datagram in each.
"""
import json
import select
import socket
import struct
import sys
import time

ROUND = 0.5


def open_socket(vip, port, source_port, kind):
    sock = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", source_port))
    sock.settimeout(3)
    return sock


def ask_http(vip, port, source_port):
    with open_socket(vip, port, source_port, socket.SOCK_STREAM) as sock:
        sock.connect((vip, port))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
        # The port is wanted again soon: leave with a reset, not with a wait.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return answer.split(b"\r\n\r\n", 1)[1].decode().strip()


def ask_http_from_all(vip, port, sources, _):
    answers = {}
    for source in sources:
        try:
            answers[source] = ask_http(vip, port, source)
        except OSError:
            answers[source] = None
    return answers


def try_on(operation, *arguments):
    """An error of an earlier datagram (refused, unreachable) is reported to the next call: it is no answer."""
    try:
        return operation(*arguments)
    except OSError:
        return None


def ask_udp_from_all(vip, port, sources, rounds):
    answers = dict.fromkeys(sources)
    waiting = {open_socket(vip, port, source, socket.SOCK_DGRAM): source for source in sources}
    for sock in waiting:
        sock.connect((vip, port))
    for _ in range(rounds):
        for sock in waiting:
            try_on(sock.send, b"who")
        until = time.monotonic() + ROUND
        while waiting and (left := until - time.monotonic()) > 0:
            for sock in select.select(waiting, [], [], left)[0]:
                if answer := try_on(sock.recv, 100):
                    answers[waiting.pop(sock)] = answer.decode().split()[0]
                    sock.close()
    return answers


def main():
    protocol, vip, port, first, count, rounds = sys.argv[1:]
    ask_from_all = ask_http_from_all if protocol == "tcp" else ask_udp_from_all
    print(json.dumps(ask_from_all(vip, int(port), range(int(first), int(first) + int(count)), int(rounds))))


if __name__ == "__main__":
    main()
