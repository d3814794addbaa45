#!/usr/bin/env python3
"""What the routers of the laboratory do, measured from both sides of each (RFC 4787, RFC 5382, RFC 5780).

Runs in a laboratory (recipes/lab/lab.sh) with public hosts p1 and p2:

    nat_facts.py classes HOST...        a line for each host and protocol
    nat_facts.py after HOST EVENT...    what has become of two mappings of the host after each of
                                        `router EVENT`, where PORT is the inner port of the first
    nat_facts.py off HOST ROUTER        what passes while a router is off, and after
    nat_facts.py mapped HOST            what a port mapping that the host asks for (NAT-PMP) lets in
    nat_facts.py forwarded HOST         what a port lets in that was opened by hand, also after a reboot
    nat_facts.py shared HOST HOST       how two hosts behind one router get along

With -6 before these words, by IPv6, where port mappings are pinholes in a firewall (PCP).

One process holds the sockets of all hosts, so that nothing needs to be waited for by time: that
something does not arrive is known when what was sent after it, by the same way, has arrived. For that it
stays on one processor, where the kernel carries packets in order.
"""
import ctypes
import ipaddress
import os
import select
import socket
import struct
import subprocess
import sys

PATIENCE_S = 60  # for what must come
CLONE_NEWNET = 0x40000000
UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
NAMES = {UDP: "udp", TCP: "tcp"}
PORT = 10000 + os.getpid() % 600 * 32  # the first of some that no earlier process had
LIBC = ctypes.CDLL(None, use_errno=True)


def open_socket(host, kind, port=0, family=socket.AF_INET):
    """A socket of that host: it stays in the namespace where it was made."""
    with open(f"/run/netns/{host}") as namespace:
        if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {host}")
    made = socket.socket(family, kind)
    made.settimeout(PATIENCE_S)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if port:
        made.bind(("", port))
    return made


def listen(host, port, family=socket.AF_INET):
    made = open_socket(host, TCP, port, family)
    made.listen(16)
    return made


def address(host, *option):
    return subprocess.run(["address", *option, host], check=True, capture_output=True, text=True).stdout.strip()


class Far:
    """A public host's two ports, for UDP and TCP, and what comes to them."""

    def __init__(self, host, family=socket.AF_INET):
        self.host = host
        self.family = family
        found = address(host) if family == socket.AF_INET else address(host, "-6")
        self.address = str(ipaddress.ip_address(found))
        self.udp = {port: open_socket(host, UDP, port, family) for port in (9000, 9001)}
        self.tcp = {port: listen(host, port, family) for port in (9000, 9001)}

    def dial(self, port, to):
        """A connection that begins at this host's port, which may never be."""
        made = open_socket(self.host, TCP, port, self.family)
        made.setblocking(False)
        made.connect_ex(to)
        return made


def connect(host, port, far, far_port):
    """A TCP connection from there: both its ends, and where the far one sees the near one."""
    near = open_socket(host, TCP, port, far.family)
    near.connect((far.address, far_port))
    end, seen = far.tcp[far_port].accept()
    end.settimeout(PATIENCE_S)
    return near, end, seen[:2]


def ping_pong(near, end):
    """Twice to the near end and back: what was dialled before has been answered, too, if it ever is."""
    for _ in range(2):
        for sender, receiver in ((end, near), (near, end)):
            sender.sendall(b"!")
            assert receiver.recv(1) == b"!"


def waiting(sock):
    """The messages or connections that a socket has now."""
    got = []
    sock.setblocking(False)
    try:
        while True:
            got.append(sock.recvfrom(99) if sock.type == UDP else sock.accept()[1][:2])
    except BlockingIOError:
        pass
    sock.settimeout(PATIENCE_S)
    return got


def until(sock, last):
    """The UDP messages before one: {message: source}."""
    got = {}
    while True:
        message, source = sock.recvfrom(99)
        if message == last:
            return got
        got[message] = source[:2]


def says(seen):
    """How outer ports of one inner port follow: mapping, and ports."""
    (a, b, c), inner = [port for _, port in seen[0]], seen[1]
    if len({*seen[0]}) == 1:
        return "endpoint-independent", "same" if a == inner else "other"
    mapping = "address-dependent" if a == b else "address-and-port-dependent"
    return mapping, "next" if (b - a, c - b) == (1, 1) else "other"


def filtering(stranger, neighbour):
    if stranger:
        return "none" if neighbour else "odd"
    return "address" if neighbour else "address-and-port"


class Host:
    def __init__(self, name, p1, p2, family=socket.AF_INET):
        self.name, self.p1, self.p2, self.family = name, p1, p2, family

    def udp(self, port):
        return open_socket(self.name, UDP, port, self.family)

    def send(self, sock, *targets):
        """Where each of them sees it, or None: TCP connections by the same ways end after it."""
        for far, port in targets:
            sock.sendto(b"?", (far.address, port))
        for far in {far for far, _ in targets}:
            near, end, _ = connect(self.name, 0, far, 9000)
            ping_pong(near, end)
        got = [waiting(far.udp[port]) for far, port in targets]
        return [messages[-1][1][:2] if messages else None for messages in got]

    def seen(self, sock):
        return self.send(sock, (self.p1, 9000))[0]

    # --- classes ---

    def udp_class(self):
        targets = ((self.p1, 9000), (self.p1, 9001), (self.p2, 9000))
        sock = self.udp(PORT)
        seen = self.send(sock, *targets)
        if None in seen:
            return "blocked" if set(seen) == {None} else "odd"
        mapping, port = says((seen, PORT))
        sock = self.udp(PORT + 1)
        outer = self.seen(sock)
        self.p2.udp[9000].sendto(b"stranger", outer)
        self.p1.udp[9001].sendto(b"neighbour", outer)
        self.p1.udp[9000].sendto(b"known", outer)
        got = until(sock, b"known")
        return self.row(mapping, port, filtering(b"stranger" in got, b"neighbour" in got), self.udp_hairpin())

    def udp_hairpin(self):
        """Each sends to the other's outer port, because routers may filter there, too."""
        one, other = self.udp(PORT + 2), self.udp(PORT + 3)
        own, outer = self.seen(one), self.seen(other)
        one.sendto(b"hairpin", outer)
        other.sendto(b"hairpin", own)
        one.sendto(b"hairpin", outer)
        self.p1.udp[9000].sendto(b"known", outer)
        return self.hairpin(until(other, b"known").get(b"hairpin"), own)

    def tcp_class(self):
        targets = ((self.p1, 9000), (self.p1, 9001), (self.p2, 9000))
        ends = [connect(self.name, PORT, *target) for target in targets]
        mapping, port = says(([seen for _, _, seen in ends], PORT))
        listener = listen(self.name, PORT + 1, self.family)
        near, end, outer = connect(self.name, PORT + 1, self.p1, 9000)
        dialled = self.p2.dial(9000, outer), self.p1.dial(9001, outer)
        ping_pong(near, end)
        came = waiting(listener)
        refused = [sock for sock in dialled if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
        known = filtering((self.p2.address, 9000) in came, (self.p1.address, 9001) in came)
        if refused:
            known += "-refused"
        return self.row(mapping, port, known, self.tcp_hairpin(), f" simultaneous={self.simultaneous()}")

    def tcp_hairpin(self):
        """They dial each other: one connection, if any, or one that was accepted."""
        listener = listen(self.name, PORT + 3, self.family)
        _, _, own = kept = connect(self.name, PORT + 2, self.p1, 9000)
        near, end, outer = connect(self.name, PORT + 3, self.p1, 9000)
        dialled = self.dial(PORT + 2, outer)
        ping_pong(near, end)
        came = waiting(listener)
        if came:
            return self.hairpin(came[0], own)
        back = self.dial(PORT + 3, own)
        ping_pong(near, end)
        try:
            return self.hairpin(back.getpeername()[:2], own)
        except OSError:
            return "no"
        finally:
            del dialled, kept

    def dial(self, port, to):
        made = open_socket(self.name, TCP, port, self.family)
        made.setblocking(False)
        made.connect_ex(to)
        return made

    def simultaneous(self):
        """Both sides dial each other's outer port, the far one too early (RFC 5382, REQ-4)."""
        _, _, outer = kept = connect(self.name, PORT + 4, self.p2, 9000)
        far = self.p1.dial(9005, outer)
        near = self.dial(PORT + 4, (self.p1.address, 9005))
        select.select([], [near], [], PATIENCE_S)
        if near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return "no"
        near.settimeout(PATIENCE_S)
        far.settimeout(PATIENCE_S)
        ping_pong(near, far)
        del kept
        return "yes"

    @staticmethod
    def hairpin(source, own):
        return "no" if source is None else "yes" if source == own else "inner-address"

    @staticmethod
    def row(mapping, port, known, hairpin, more=""):
        return f"mapping={mapping} port={port} filtering={known} hairpin={hairpin}{more}"

    # --- what happens to it ---

    def after(self, *events):
        for number, event in enumerate(events):
            self.after_one(event, PORT + 2 * number)

    def after_one(self, event, first_port):
        """Two mappings of each protocol, and a router to which something happens."""
        pairs = {UDP: [], TCP: []}
        for port in (first_port, first_port + 1):
            sock = self.udp(port)
            pairs[UDP].append((sock, self.seen(sock)))
            pairs[TCP].append(connect(self.name, port, self.p1, 9000))
        subprocess.run(["router", *event.replace("PORT", str(first_port)).split()], check=True)
        for _, outer in pairs[UDP]:
            self.p1.udp[9000].sendto(b"still", outer)
        for _, end, _ in pairs[TCP]:
            end.sendall(b"still")
        ping_pong(*connect(self.name, 0, self.p1, 9000)[:2])
        found = []
        for protocol, (first, second) in pairs.items():
            kept = ["kept" if self.has_something(pair[0]) else "lost" for pair in (first, second)]
            again = self.again(protocol, first, first_port)
            found.append(f"{NAMES[protocol]} {' '.join(kept)} {self.other(first[-1], again)}")
        print(f"{event}: {', '.join(found)}", flush=True)

    @staticmethod
    def has_something(sock):
        return bool(select.select([sock], [], [], 0)[0])

    def again(self, protocol, former, port):
        """Where it is seen when it sends again, and that it gets an answer there."""
        if protocol == TCP:
            return connect(self.name, port, self.p2, 9000)[2]
        outer = self.seen(former[0])
        self.p1.udp[9000].sendto(b"answer", outer)
        until(former[0], b"answer")
        return outer

    @staticmethod
    def other(former, now):
        if former == now:
            return "same"
        return "other-port" if former[0] == now[0] else "other-address"

    def off(self, router):
        sock = self.udp(PORT)
        self.seen(sock)
        subprocess.run(["router", router, "off"], check=True)
        sock.sendto(b"off", (self.p1.address, 9000))
        self.p2.udp[9000].sendto(b"last", (self.p1.address, 9000))
        passed = b"off" in until(self.p1.udp[9000], b"last")
        subprocess.run(["router", router, "on"], check=True)
        print("off", "passes" if passed else "nothing", "on", "passes" if self.seen(sock) else "nothing")

    # --- port mappings ---

    def ask(self, protocol, port):
        """NAT-PMP (RFC 6886): the outer endpoint, or what was answered instead."""
        sock = self.udp(0)
        sock.connect((self.gateway(), 5351))
        try:
            sock.send(struct.pack("!BB", 0, 0))
            _, _, code, _, outer = struct.unpack("!BBHI4s", sock.recv(99))
        except ConnectionRefusedError:
            return "unanswered"
        if code:
            return f"refused-{code}"
        sock.send(struct.pack("!BBHHHI", 0, 1 if protocol == UDP else 2, 0, port, port, 600))
        _, _, code, _, _, outer_port, _ = struct.unpack("!BBHIHHI", sock.recv(99))
        if code:
            return f"refused-{code}"
        return str(ipaddress.ip_address(outer)), outer_port

    def ask_pinhole(self, protocol, port):
        """PCP's MAP (RFC 6887) by IPv6: this host's endpoint, or what was answered instead."""
        sock = self.udp(0)
        sock.connect((self.gateway(), 5351))
        own = socket.inet_pton(self.family, address(self.name, "-6"))
        number = 17 if protocol == UDP else 6
        ask = struct.pack("!BBHI16s", 2, 1, 0, 600, own)
        ask += struct.pack("!12sB3xHH16s", os.urandom(12), number, port, port, own)
        try:
            sock.send(ask)
            answer = sock.recv(1100)
        except ConnectionRefusedError:
            return "unanswered"
        if answer[3]:
            return f"refused-{answer[3]}"
        outer_port, outer = struct.unpack("!H16s", answer[42:60])
        return str(ipaddress.ip_address(outer)), outer_port

    def gateway(self):
        way = "-4" if self.family == socket.AF_INET else "-6"
        return subprocess.run(["on", self.name, "ip", way, "route", "show", "default"], check=True,
                              capture_output=True, text=True).stdout.split()[2]

    def mapped(self):
        if self.family == socket.AF_INET:
            own, ask = address(self.name), self.ask
        else:
            own, ask = str(ipaddress.ip_address(address(self.name, "-6"))), self.ask_pinhole
        for protocol in (UDP, TCP):
            found = ask(protocol, PORT)
            if isinstance(found, str):
                print(NAMES[protocol], found)
                continue
            assert found[0] == own, found
            print(NAMES[protocol], self.let_in(protocol, found))

    def forwarded(self):
        for protocol in (UDP, TCP):
            subprocess.run(["router", self.name, "forward", NAMES[protocol], str(PORT)], check=True)
            outer = address(self.name), PORT
            before = self.let_in(protocol, outer)
            subprocess.run(["router", self.name, "reboot", "0"], check=True)
            print(NAMES[protocol], before, self.let_in(protocol, outer))

    def let_in(self, protocol, outer):
        """Who comes in by that endpoint, to PORT."""
        sock = self.udp(PORT) if protocol == UDP else listen(self.name, PORT, self.family)
        near, end, _ = connect(self.name, 0, self.p2, 9001)
        if protocol == UDP:
            self.p2.udp[9000].sendto(b"stranger", outer)
        else:
            dialled = self.p2.dial(0, outer)
        ping_pong(near, end)
        came = bool(waiting(sock))
        if protocol == TCP:
            dialled.close()
        return "strangers" if came else "nobody"

    # --- two hosts of one home ---

    def shared(self, name):
        other = Host(name, self.p1, self.p2)
        socks = self.udp(PORT), other.udp(PORT)
        outer = self.seen(socks[0]), other.seen(socks[1])
        socks[0].sendto(b"home", (address(name, "--home"), PORT))
        socks[0].sendto(b"hairpin", outer[1])
        self.p1.udp[9000].sendto(b"known", outer[1])
        got = until(socks[1], b"known")
        print(
            f"address={'same' if outer[0][0] == outer[1][0] else 'other'} port={'other' if outer[0] != outer[1] else 'same'}",
            f"home={'reached' if b'home' in got else 'not'} hairpin={self.hairpin(got.get(b'hairpin'), outer[0])}",
        )


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    words = sys.argv[1:]
    family = socket.AF_INET6 if words[0] == "-6" else socket.AF_INET
    verb, *hosts = words[1:] if words[0] == "-6" else words
    p1, p2 = Far("p1", family), Far("p2", family)
    if verb == "classes":
        for name in hosts:
            host = Host(name, p1, p2, family)
            print(f"{name} udp {host.udp_class()}", flush=True)
            print(f"{name} tcp {host.tcp_class()}", flush=True)
    else:
        verbs = {"after": Host.after, "off": Host.off, "mapped": Host.mapped,
                 "forwarded": Host.forwarded, "shared": Host.shared}
        verbs[verb](Host(hosts[0], p1, p2, family), *hosts[1:])


if __name__ == "__main__":
    main()
