#!/usr/bin/python3
"""A backend's servers: HTTP on port 80 and UDP on port 53, IPv4 and IPv6, which answer with the backend's name:
backend_server.py NAME [HTTP_PORT UDP_PORT]

HTTP keeps connections open; /slow/SECONDS answers in pieces over that time, to have requests under way when something
changes.
"""
import asyncio
import socket
import sys


def dual_stack(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    return sock


def response_head(length, keep_alive):
    connection = "keep-alive" if keep_alive else "close"
    return (f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
            f"Connection: {connection}\r\n\r\n").encode()


async def serve_http(name, reader, writer):
    body = f"{name}\n".encode()
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            keep_alive = "connection: close" not in head.lower()
            pieces, pause = 1, 0.0
            if path.startswith("/slow/"):
                pieces, pause = 10, float(path[len("/slow/"):]) / 10
            writer.write(response_head(len(body) * pieces, keep_alive))
            for _ in range(pieces):
                writer.write(body)
                await writer.drain()
                await asyncio.sleep(pause)
            if not keep_alive:
                break
    except (asyncio.IncompleteReadError, ConnectionError, ValueError, IndexError):
        pass
    finally:
        writer.close()


def answer_udp(name, sock):
    """Answers with the beginning of what came, from the address that was asked: a socket on :: would answer from the
    backend's own."""
    data, control, _, peer = sock.recvmsg(65536, 256)
    # The interface that the packet came in by is not where the answer leaves by: clear its index.
    asked = [(level, kind, value[:16] + b"\0" * 4) for level, kind, value in control
             if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO]
    sock.sendmsg([name.encode() + b" " + data[:1000]], asked, 0, peer)


async def main(name, http_port=80, udp_port=53):
    server = await asyncio.start_server(lambda r, w: serve_http(name, r, w), backlog=1024,
                                        sock=dual_stack(socket.SOCK_STREAM, http_port))
    udp = dual_stack(socket.SOCK_DGRAM, udp_port)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    udp.setblocking(False)
    asyncio.get_running_loop().add_reader(udp.fileno(), answer_udp, name, udp)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
