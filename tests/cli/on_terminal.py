#!/usr/bin/env python3
"""Runs a command on a terminal of its own, as its foreground, and plays a person before it.

usage: on_terminal.py EVENT... -- COMMAND [ARG]...

  file:PATH    waits until PATH is there and not empty
  holds:PATH:TEXT
               waits until PATH holds TEXT
  sleep:S      waits S seconds
  type:TEXT    types TEXT; ^C and ^Z are those keys, \\n is Enter
  tostop       processes in the background may not write to the terminal
  hang up      closes the terminal

Then it waits for COMMAND, prints what came to the terminal, and ends with COMMAND's code, 128 + N
where signal N ended it. After five minutes it gives up with code 99.
"""
import os
import pty
import select
import signal
import sys
import termios
import time

DEADLINE = time.monotonic() + 300
KEYS = {'^C': '\x03', '^Z': '\x1a', '\\n': '\n'}


def main():
    split = sys.argv.index('--')
    events, command = sys.argv[1:split], sys.argv[split + 1:]
    child, terminal = pty.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python has its own ideas
        os.execvp(command[0], command)
    seen = bytearray()

    def watch(seconds):
        """Takes in what comes to the terminal; without a reader the command would wait for one."""
        until = time.monotonic() + seconds
        while terminal is not None and time.monotonic() < until:
            ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
            if not ready:
                return
            try:
                seen.extend(os.read(terminal, 65536))
            except OSError:  # nobody has it open any more
                break
        time.sleep(max(0, until - time.monotonic()))

    def await_that(condition, event):
        while not condition():
            watch(0.05)
            if time.monotonic() > DEADLINE:
                give_up(child, seen, event)

    for event in events:
        name, _, value = event.partition(':')
        if name == 'file':
            await_that(lambda: content(value), event)
        elif name == 'holds':
            path, _, text = value.partition(':')
            await_that(lambda: text.encode() in content(path), event)
        elif name == 'sleep':
            watch(float(value))
        elif name == 'type':
            for key, code in KEYS.items():
                value = value.replace(key, code)
            os.write(terminal, value.encode())
        elif name == 'tostop':
            settings = termios.tcgetattr(terminal)
            settings[3] |= termios.TOSTOP
            termios.tcsetattr(terminal, termios.TCSANOW, settings)
        elif name == 'hang up':
            os.close(terminal)
            terminal = None
        else:
            sys.exit(f'on_terminal.py: no event {event}')
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        watch(0.05)
        if time.monotonic() > DEADLINE:
            give_up(child, seen, 'the end')
    # What it wrote between our last look and its end is still to be read.
    enough = time.monotonic() + 5
    while terminal is not None and time.monotonic() < enough:
        if not select.select([terminal], [], [], 0.1)[0]:
            break
        try:
            seen.extend(os.read(terminal, 65536))
        except OSError:
            break
    sys.stdout.buffer.write(seen)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def content(path):
    try:
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError:
        return b''


def give_up(child, seen, what):
    sys.stdout.buffer.write(seen)
    print(f'on_terminal.py: {what} never came', file=sys.stderr)
    os.kill(child, signal.SIGKILL)
    sys.exit(99)


main()
