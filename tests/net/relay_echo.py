#!/usr/bin/env python3
"""What a host of the laboratory learns of its router from one relay's echo (ptrain-net(7), ECHO).

    on HOST relay_echo.py RELAY PORT OTHER-PORT

prints where it is seen over UDP and TCP, whether both ports see it there, and whether an answer from the
port that was not asked arrives. That one does not is known when what was asked later was answered.
"""
import ipaddress
import os
import socket
import sys

PATIENCE_S = 60
REQUEST_BYTES, REPLY_BYTES = 64, 36
ASKED_PORT, OTHER_PORT = 0, 1


def request(nonce, answer_from=ASKED_PORT):
    return (b"ptrecho?" + nonce + bytes([answer_from])).ljust(REQUEST_BYTES, b"\0")


def reply(message, nonce):
    """The endpoint that it tells."""
    assert len(message) == REPLY_BYTES and message[:8] == b"ptrecho!" and message[8:16] == nonce, message
    assert message[16:18] == b"\4\0", message
    return str(ipaddress.ip_address(message[20:24])), int.from_bytes(message[18:20], "big")


def over_tcp(relay, port, own_port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", own_port))
        sock.settimeout(PATIENCE_S)
        sock.connect((relay, port))
        nonce = os.urandom(8)
        sock.sendall(request(nonce))
        return reply(sock.makefile("rb").read(REPLY_BYTES), nonce)


def over_udp(relay, port, sock):
    """Where that port sees the socket, and whom else's answers arrived before its own."""
    nonce = os.urandom(8)
    sock.sendto(request(nonce), (relay, port))
    others = []
    while True:
        message, (_, source_port) = sock.recvfrom(2 * REQUEST_BYTES)
        if message[8:16] == nonce:
            assert source_port == port, source_port
            return reply(message, nonce), others
        others.append(source_port)


def is_blocked(relay, ports):
    """No UDP gets out: an answer by TCP, which was asked later, is here first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(3):
            sock.sendto(request(os.urandom(8)), (relay, ports[0]))
            over_tcp(relay, ports[0], 0)
            sock.settimeout(1)
            try:
                sock.recv(REQUEST_BYTES)
                return False
            except TimeoutError:
                pass
    return True


def main():
    relay, ports = sys.argv[1], [int(word) for word in sys.argv[2:]]
    tcp = [over_tcp(relay, port, 6000) for port in ports]
    print(f"tcp {tcp[0][0]} {'same' if tcp[0] == tcp[1] else 'other'}-port", end=" ")
    if is_blocked(relay, ports):
        print("udp blocked")
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 6001))
        sock.settimeout(PATIENCE_S)
        first, _ = over_udp(relay, ports[0], sock)
        second, _ = over_udp(relay, ports[1], sock)
    # Of a socket that has sent nothing to the other port.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 6002))
        sock.settimeout(PATIENCE_S)
        sock.sendto(request(os.urandom(8), OTHER_PORT), (relay, ports[0]))
        _, others = over_udp(relay, ports[0], sock)
        assert others in ([], [ports[1]]), others
    print(f"udp {first[0]} {'same' if first == second else 'other'}-port", end=" ")
    print("lets-in-other-ports" if others else "lets-in-no-other-port")


main()
