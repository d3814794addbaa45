"""Traffic of others in the laboratory: datagrams from one host to another, as traffic(lab.sh --help) says.

They go at random times, of RATE on the average, so that a queue that they share fills and empties. A
host behind a router is not reached unless it asks: then it does, every second.
"""
import ctypes
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

BYTES = 1200  # of a datagram: no link in the laboratory takes less
HEADERS = 42  # of UDP, IP and Ethernet, which a link carries, too
MOST_BITS_PER_S = 200_000_000  # more than that one process does not send
LATE_S = 0.1  # sending that is later than this is given up: a busy machine shall not send bursts
ASK_AGAIN_S = 1
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def fail(words):
    print(f"traffic: error: {words}", file=sys.stderr)
    sys.exit(2)


def bits_per_s(words):
    found = re.fullmatch(r"([1-9][0-9]{0,8})(k|m|g)bit", words)
    rate = int(found[1]) * 1000 ** (" kmg".index(found[2])) if found else 0
    if not 0 < rate <= MOST_BITS_PER_S:
        fail(f"{words}: expected a rate like 5mbit, 200mbit at most")
    return rate


def socket_of(host):
    with open(f"/run/netns/{host}") as namespace:
        if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {host}")
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", 0))
    made.setblocking(False)
    return made


def address_of(host):
    found = subprocess.run(["address", host], capture_output=True, text=True)
    if found.returncode:
        fail(f"no host {host} in this laboratory")
    return found.stdout.strip()


def is_behind(host):
    """Whether a router is before it, at whose address it is seen."""
    return subprocess.run(["address", "--home", host], capture_output=True).returncode == 0


class Traffic:
    def __init__(self, source, sink, rate):
        self.to = (address_of(sink), 0)
        self.asked = (address_of(source), 0)
        self.source, self.sink = socket_of(source), socket_of(sink)
        self.must_ask = is_behind(sink)
        if self.must_ask and is_behind(source):
            fail(f"{source} and {sink} are behind routers, both: traffic needs one who is not")
        if self.must_ask:
            self.asked = (self.asked[0], self.source.getsockname()[1])
            self.to = None
        else:
            self.to = (self.to[0], self.sink.getsockname()[1])
        self.apart_s = (BYTES + HEADERS) * 8 / rate
        self.sent = self.arrived = 0

    def run(self, seconds):
        now = time.monotonic()
        end = now + seconds
        next_one = next_ask = now
        while now < end:
            if self.must_ask and now >= next_ask:
                self.sink.sendto(b"?", self.asked)
                next_ask = now + ASK_AGAIN_S
            if self.to and now >= next_one:
                self.send()
                next_one = max(next_one + random.expovariate(1 / self.apart_s), now - LATE_S)
            wake = min(end, next_one if self.to else end, next_ask if self.must_ask else end)
            select.select([self.source, self.sink], [], [], max(0, wake - time.monotonic()))
            self.hear()
            now = time.monotonic()

    def send(self):
        try:
            self.source.sendto(bytes(BYTES), self.to)
            self.sent += 1
        except OSError:  # its link is off, say
            pass

    def hear(self):
        for sock in (self.source, self.sink):
            try:
                while True:
                    message, who = sock.recvfrom(2048)
                    if len(message) == BYTES:
                        self.arrived += 1
                    elif sock is self.source:
                        self.to = who
            except OSError:
                pass


def main():
    source, sink, rate, seconds = sys.argv[1:]
    if not re.fullmatch(r"[0-9]{1,6}", seconds):
        fail(f"{seconds}: expected whole seconds, 999999 at most")
    traffic = Traffic(source, sink, bits_per_s(rate))
    # Told to end, it says what it has done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        traffic.run(int(seconds))
    except KeyboardInterrupt:
        pass
    print(f"sent {traffic.sent} arrived {traffic.arrived}")


main()
