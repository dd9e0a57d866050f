#!/usr/bin/python3
"""Asks one VIP from fixed source ports, so that the same flows can be asked again: ask_from.py tcp|udp VIP PORT FIRST
COUNT. Prints {"source port": "the backend that answered"} as JSON; null where nobody did."""
import json
import socket
import struct
import sys

TIMEOUT = 1.0


def ask_udp(sock):
    for _ in range(3):
        sock.send(b"who")
        try:
            return sock.recv(100).decode().split()[0]
        except TimeoutError:
            pass
    return None


def ask_http(sock):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := sock.recv(4096):
        answer += piece
    # The port is wanted again soon: leave with a reset, not with a wait.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return answer.split(b"\r\n\r\n", 1)[1].decode().strip()


def ask(protocol, vip, port, source_port):
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", source_port))
        sock.settimeout(TIMEOUT)
        try:
            sock.connect((vip, port))
            return ask_http(sock) if protocol == "tcp" else ask_udp(sock)
        except OSError:
            return None


def main():
    protocol, vip, port, first, count = sys.argv[1:]
    print(json.dumps({source: ask(protocol, vip, int(port), source)
                      for source in range(int(first), int(first) + int(count))}))


if __name__ == "__main__":
    main()
