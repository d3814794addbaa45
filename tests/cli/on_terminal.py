#!/usr/bin/env python3
"""Runs a command on a terminal of its own, as its foreground, and plays a person before it.

usage: on_terminal.py EVENT... -- COMMAND [ARG]...

  file:PATH    waits until PATH is there and not empty
  sleep:S      waits S seconds
  type:TEXT    types TEXT; ^C and ^Z are those keys, \\n is Enter
  tostop       processes in the background may not write to the terminal
  hang up      closes the terminal

Then it waits for COMMAND, prints what came to the terminal, and ends with COMMAND's code, 128 + N
where signal N ended it. After a minute it gives up with code 99.
"""
import os
import pty
import select
import signal
import sys
import termios
import time

DEADLINE = time.monotonic() + 60
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

    for event in events:
        name, _, value = event.partition(':')
        if name == 'file':
            while not (os.path.exists(value) and os.path.getsize(value)):
                watch(0.05)
                if time.monotonic() > DEADLINE:
                    give_up(child, seen, event)
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
    watch(0)
    sys.stdout.buffer.write(seen)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def give_up(child, seen, what):
    sys.stdout.buffer.write(seen)
    print(f'on_terminal.py: {what} never came', file=sys.stderr)
    os.kill(child, signal.SIGKILL)
    sys.exit(99)


main()
