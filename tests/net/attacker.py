#!/usr/bin/env python3
"""A stranger or a misbehaving peer, over raw sockets: what tests/net/hostile.bats sends.

  attacker.py flood PORT COUNT          opens connections and says nothing
  attacker.py half PORT COUNT           begins a handshake with a frame of 1 MiB, less its last byte
  attacker.py endless PORT MIB [SIZE]   one message of parts without end
  attacker.py fight PORT HEX...         says these frames, one message each, and stays
  attacker.py repeat PORT SECONDS CONTROL BULK FIRST FRAME
                                        greets over two connections, says FIRST over the one for
                                        control, and then FRAME again and again
  attacker.py guests PORT SECONDS LAST HELLO...
                                        each hello over a connection that ends after LAST, again and
                                        again
  attacker.py bait FILE HELLO FRAME...  listens, answers who dials, and writes the port into FILE; a
                                        HELLO may be "forge:PROGRAM:STAGE:N", that stage of the job
                                        that the visitor's own hello names, which N frames have come
                                        to; a FRAME may be "endless", parts of a message without end
  attacker.py watch FILE                listens, and writes its port and then a line for each visitor

Connections are to 127.0.0.1, from $ATTACK_FROM where that is set, and end with the program, which
ends when its standard input does. Frames are those of forge_frame. The result is one JSON object on
standard output.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time

MORE, LONG, COMMAND = 1, 2, 4
MIB = 1 << 20
# After each piece of an attack: what the other side holds is bounded by how soon it looks, and on a
# busy machine we must not send all of it before it has its turn.
PAUSE_S = 0.01


def say(**facts):
    print(json.dumps(facts), flush=True)


def await_end():
    """Until whoever started us closes our standard input."""
    while os.read(0, 4096):
        pass


def connect(port, patience_s=20):
    source = (os.environ.get("ATTACK_FROM", "127.0.0.1"), 0)
    connection = socket.create_connection(("127.0.0.1", port), timeout=patience_s,
                                          source_address=source)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def greeting(mechanism, server=False):
    return (b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes([server])
            + bytes(31))


def part(body, more=False):
    flags = MORE if more else 0
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body


def place_of_ordinal(header):
    """Of schemas/envelope.capnp: behind the table of segments and two words."""
    segments = int.from_bytes(header[:4], "little") + 1
    table = (4 * (1 + segments) + 7) // 8 * 8
    return slice(table + 16, table + 24)


def frame_bytes(frame, ordinal=1):
    """A frame in hexadecimal, of one or two parts, the ordinal'th of its connection."""
    parts = [bytearray.fromhex(each) for each in frame.split(":")]
    parts[0][place_of_ordinal(parts[0])] = ordinal.to_bytes(8, "little")
    return b"".join(part(bytes(each), more=i + 1 < len(parts)) for i, each in enumerate(parts))


def ready(kind):
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    if kind in (b"DEALER", b"ROUTER"):
        body += b"\x08Identity" + bytes(4)
    return bytes([COMMAND, len(body)]) + body


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("the other side ended the connection")
        data += more
    return data


def read_part(connection):
    """Flags and body."""
    flags = read_exactly(connection, 1)[0]
    size = read_exactly(connection, 8 if flags & LONG else 1)
    return flags, read_exactly(connection, int.from_bytes(size, "big"))


def shake_hands(connection, kind=b"DEALER"):
    connection.sendall(greeting(b"NULL", kind == b"ROUTER"))
    read_exactly(connection, 64)
    connection.sendall(ready(kind))
    read_part(connection)


def is_closed(connection):
    """Whether the other side has ended it; what it sent is dropped."""
    try:
        connection.setblocking(False)
        while connection.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def flood(port, count):
    """So many at all times: what is cut off is opened again."""
    connections = []
    said = False
    while not select.select([0], [], [], 0.05)[0]:
        connections = [each for each in connections if not is_closed(each)]
        try:
            while len(connections) < int(count):
                connections.append(connect(int(port), patience_s=3))
        except OSError:
            pass
        if not said:
            say(opened=len(connections))
            said = True


def half(port, count):
    connections = []
    for _ in range(int(count)):
        connection = connect(int(port))
        # A greeting, and a command that begins to be long.
        try:
            connection.sendall(greeting(b"CURVE") + bytes([COMMAND | LONG])
                               + MIB.to_bytes(8, "big") + bytes(MIB - 1))
        except OSError:
            pass
        connections.append(connection)
        time.sleep(PAUSE_S)
    say(sent=len(connections))
    began = time.monotonic()
    while connections and time.monotonic() - began < 30:
        connections = [each for each in connections if not is_closed(each)]
        time.sleep(0.05)
    say(open=len(connections), closed_after_s=time.monotonic() - began)
    await_end()


def endless(port, mib, size="0"):
    connection = connect(int(port))
    shake_hands(connection)
    some = part(bytes(int(size)), more=True)
    block = some * max(1, 65536 // len(some))
    sent, most, cut = 0, int(mib) * MIB, False
    connection.setblocking(False)
    deadline = time.monotonic() + 60
    while sent < most and not cut and time.monotonic() < deadline:
        select.select([connection], [connection], [], 1)
        cut = is_closed(connection)
        try:
            # The rest of a part must follow: what is sent in part is finished first.
            sent += connection.send(block[sent % len(some):])
            time.sleep(PAUSE_S)
        except BlockingIOError:
            pass
        except OSError:
            cut = True
    # The kernel may have taken all of it before the other side looked.
    while not cut and time.monotonic() < deadline:
        time.sleep(0.05)
        cut = is_closed(connection)
    say(sent=sent, cut=cut)
    await_end()


def fight(port, *frames):
    """Each frame over a connection of its own."""
    connections = []
    for frame in frames:
        connection = connect(int(port))
        shake_hands(connection)
        connection.sendall(frame_bytes(frame))
        connections.append(connection)
    say(sent=len(connections))
    await_end()


def guests(port, duration, last, *hellos):
    rounds = 0
    began = time.monotonic()
    while time.monotonic() - began < float(duration):
        for hello in hellos:
            try:
                connection = connect(int(port), patience_s=3)
                shake_hands(connection)
                connection.sendall(frame_bytes(hello))
                read_part(connection)
                connection.sendall(frame_bytes(last, 2))
                read_part(connection)
                connection.close()
                rounds += 1
            except OSError:
                time.sleep(0.01)
    say(rounds=rounds, seconds=time.monotonic() - began)
    await_end()


def received_from(connection):
    """How many bytes have come, and whether the connection has ended."""
    count = 0
    try:
        while data := connection.recv(1 << 20):
            count += len(data)
        return count, True
    except BlockingIOError:
        return count, False
    except OSError:
        return count, True


def repeat(port, duration, control_hello, bulk_hello, first, frame):
    """What comes back for what is said again and again: bytes both ways."""
    connections = []
    for hello in (control_hello, bulk_hello):
        connection = connect(int(port))
        shake_hands(connection)
        connection.sendall(frame_bytes(hello))
        read_part(connection)
        connections.append(connection)
    control = connections[0]
    control.sendall(frame_bytes(first, 2))
    ordinal = 2
    time.sleep(0.5)
    for connection in connections:
        connection.setblocking(False)
    sent = received = 0
    cut = False
    deadline = time.monotonic() + float(duration)
    while time.monotonic() < deadline and not cut:
        select.select(connections, [], [], 0.002)
        for connection in connections:
            count, ended = received_from(connection)
            received += count
            cut = cut or ended
        try:
            sent += control.send(frame_bytes(frame, ordinal + 1))
            ordinal += 1
        except BlockingIOError:
            pass
        except OSError:
            cut = True
    say(sent=sent, received=received, cut=cut)
    await_end()


def listener(port=0):
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(64)
    return listening


def publish(file, listening):
    with open(file + ".new", "w", encoding="ascii") as out:
        out.write(f"{listening.getsockname()[1]}\n")
    os.rename(file + ".new", file)


def answer_to(theirs, hello):
    if not hello.startswith("forge:"):
        return hello
    _, program, stage, came = hello.split(":")
    return subprocess.check_output([program, "hello", "--like", theirs.hex(), "--stage", stage,
                                    "--incarnation", "9", "--control-next", came],
                                   text=True).strip()


def send_endless(connection):
    for _ in range(512):
        connection.sendall(part(b"", more=True) * 32768)
        time.sleep(PAUSE_S)


def bait(file, hello, *frames):
    """A holder that greets, and then says the frames."""
    listening = listener()
    publish(file, listening)
    connections = []
    while True:
        ready_now, _, _ = select.select([listening, 0], [], [])
        if 0 in ready_now and not os.read(0, 4096):
            return
        if listening not in ready_now:
            continue
        connection, _ = listening.accept()
        connection.settimeout(10)
        try:
            shake_hands(connection, b"ROUTER")
            _, theirs = read_part(connection)
            connection.sendall(frame_bytes(answer_to(theirs, hello)))
            for i, frame in enumerate(frames):
                if frame == "endless":
                    send_endless(connection)
                else:
                    connection.sendall(frame_bytes(frame, 2 + i))
        except OSError:
            pass
        connections.append(connection)


def watch(file):
    listening = listener()
    with open(file, "w", encoding="ascii") as out:
        out.write(f"{listening.getsockname()[1]}\n")
        out.flush()
        while True:
            ready_now, _, _ = select.select([listening, 0], [], [])
            if 0 in ready_now and not os.read(0, 4096):
                return
            if listening in ready_now:
                _, address = listening.accept()
                out.write(f"{address}\n")
                out.flush()


if __name__ == "__main__":
    attacks = {each.__name__: each
               for each in (flood, half, endless, fight, guests, repeat, bait, watch)}
    attacks[sys.argv[1]](*sys.argv[2:])
