#!/usr/bin/python3
"""The most memory that a CUDA device holds beyond what it held at the start, in MiB.

Says "sampling" on standard error once it has begun, and prints the figure when the file --until is
there. Whatever holds the memory counts: it is for a device that nobody else uses.
"""

import argparse
import os
import sys
import time

import torch

PERIOD_S = 0.02


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--device", default="cuda:0")
    p.add_argument("--until", required=True)
    a = p.parse_args()
    torch.zeros(1, device=a.device)  # our own context is not counted
    free_at_start = torch.cuda.mem_get_info(a.device)[0]
    least = free_at_start
    print("sampling", file=sys.stderr, flush=True)
    while not os.path.exists(a.until):
        least = min(least, torch.cuda.mem_get_info(a.device)[0])
        time.sleep(PERIOD_S)
    print((free_at_start - least) >> 20)


if __name__ == "__main__":
    main()
