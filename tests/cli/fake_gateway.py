#!/usr/bin/env python3
"""A router that maps ports by PCP and NAT-PMP, as a test wants it: refusing, lying, forgetting.

Listens on port 5351 of the address that it is given, says so on standard output, and then what it is
asked: "map tcp 7100 600", "unmap tcp 7100", "asked by NAT-PMP for its address". With --v6 it listens
there, too, and opens ports by PCP. SIGHUP makes it begin anew: it forgets everything and announces that.
"""

import argparse
import ipaddress
import select
import signal
import socket
import struct
import time

PORT = 5351
ANNOUNCEMENTS = ("224.0.0.1", 5350)
NAMES = {6: "tcp", 17: "udp"}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="192.168.1.1")
    parser.add_argument("--v6", metavar="ADDRESS")
    parser.add_argument("--outside", default="8.8.4.4")
    parser.add_argument("--only", choices=["pcp", "nat-pmp"])
    parser.add_argument("--refuse", type=int, default=0, metavar="CODE")
    parser.add_argument("--lease", type=int, default=3600, help="the longest")
    parser.add_argument("--lies", action="store_true", help="false answers before each true one")
    parser.add_argument("--only-lies", action="store_true", help="and none that is true")
    parser.add_argument("--mute", action="store_true", help="takes requests, and answers none")
    return parser.parse_args()


def say(text):
    print(text, flush=True)


class Gateway:
    def __init__(self, given):
        self.given = given
        self.begun = time.monotonic()
        self.nonces = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((given.address, PORT))
        self.sockets = [self.socket]
        if given.v6:
            self.sockets.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            self.sockets[-1].bind((given.v6, PORT))
        # Somebody else on the net, and another program of the gateway's.
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger.bind(("192.168.1.66", PORT))
        self.other_port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.other_port.bind((given.address, 0))

    def epoch(self):
        return int(time.monotonic() - self.begun)

    def outside(self, lie=False):
        return ipaddress.IPv4Address("8.6.6.6" if lie else self.given.outside).packed

    def begin_anew(self, *_):
        self.nonces.clear()
        self.begun = time.monotonic()
        say("began anew")
        if self.given.only != "pcp":
            answer = struct.pack(">BBHI", 0, 128, 0, 0) + self.outside()
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                                   socket.inet_aton(self.given.address))
            self.socket.sendto(answer, ANNOUNCEMENTS)

    def run(self):
        signal.signal(signal.SIGHUP, self.begin_anew)
        say("ready")
        while True:
            for ready in select.select(self.sockets, [], [])[0]:
                request, source = ready.recvfrom(2048)
                if not self.given.mute:
                    self.answer(ready, request, source)

    def answer(self, via, request, source):
        answer = self.pcp if request[0] == 2 else self.nat_pmp
        if self.given.lies or self.given.only_lies:
            self.lie(request, source)
        if not self.given.only_lies:
            via.sendto(answer(request), source)

    def lie(self, request, source):
        """What a foreign gateway, or somebody on the net, may send in the true one's place."""
        quiet, self.say_nothing = getattr(self, "say_nothing", False), True
        answer = self.pcp if request[0] == 2 else self.nat_pmp
        true = answer(request, lie=True)
        self.say_nothing = quiet
        self.stranger.sendto(true, source)    # another address
        self.other_port.sendto(true, source)  # another port
        self.socket.sendto(true[:-4], source)
        self.socket.sendto(b"", source)
        if len(request) >= 60:
            nonce = bytes(byte ^ 1 for byte in true[24:36])
            self.socket.sendto(true[:24] + nonce + true[36:], source)
            self.socket.sendto(true[:1] + b"\x82" + true[2:], source)  # PEER
        port = struct.pack(">H", 4242)
        if len(request) == 12:
            self.socket.sendto(true[:8] + port + true[10:], source)

    def note(self, words):
        if not getattr(self, "say_nothing", False):
            say(words)

    def pcp(self, request, lie=False):
        if self.given.only == "nat-pmp":
            return struct.pack(">BBHI", 0, 128 + request[1], 1, self.epoch())
        version, opcode = request[0], request[1]
        lifetime = min(struct.unpack(">I", request[4:8])[0], self.given.lease)
        if opcode == 0:
            return struct.pack(">BBBBII12x", version, 0x80, 0, 0, 0, self.epoch())
        nonce, protocol = request[24:36], request[36]
        inside, wish = struct.unpack(">HH", request[40:44])
        self.note(self.words(protocol, inside, lifetime))
        result = self.given.refuse
        key = (request[8:24], protocol, inside)
        if self.nonces.get(key, nonce) != nonce:
            result = 2
        elif lifetime == 0:
            self.nonces.pop(key, None)
        elif not lie:
            self.nonces[key] = nonce
        header = struct.pack(">BBBBII12x", version, 0x81, 0, result, lifetime, self.epoch())
        address = bytes(10) + b"\xff\xff" + self.outside(lie)
        client = ipaddress.IPv6Address(request[8:24])
        if client.ipv4_mapped is None:
            address, wish = client.packed, inside  # nothing is translated
        return header + nonce + struct.pack(">B3xHH", protocol, inside, wish or inside) + address

    def nat_pmp(self, request, lie=False):
        if self.given.only == "pcp":
            return struct.pack(">BBBBII12x", 2, 0x80 | request[1], 0, 1, 0, self.epoch())
        opcode = request[1]
        header = struct.pack(">BBHI", 0, 128 + opcode, 0 if opcode == 0 else self.given.refuse,
                             self.epoch())
        if opcode == 0:
            self.note("asked by NAT-PMP for its address")
            return header + self.outside(lie)
        inside, wish, lifetime = struct.unpack(">HHI", request[4:12])
        lifetime = min(lifetime, self.given.lease)
        self.note(self.words(17 if opcode == 1 else 6, inside, lifetime))
        outside = 0 if lifetime == 0 else wish + 1 if lie else wish
        return header + struct.pack(">HHI", inside, outside, lifetime)

    @staticmethod
    def words(protocol, inside, lifetime):
        if lifetime == 0:
            return f"unmap {NAMES[protocol]} {inside}"
        return f"map {NAMES[protocol]} {inside} {lifetime}"


Gateway(options()).run()
