#!/usr/bin/python3
"""The peer of ckpt.sh: torch.save and torch.load of as many bytes of float32 tensors.

The file is synced, as a checkpoint is; torch.save by itself leaves that to the kernel. Prints
one JSON object with the seconds of each.
"""

import argparse
import json
import os
import time

import torch

TENSOR_BYTES = 16 << 20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", required=True)
    parser.add_argument("--bytes", type=int, required=True)
    a = parser.parse_args()
    count = max(1, a.bytes // TENSOR_BYTES)
    state = {f"tensor.{i}": torch.randn(TENSOR_BYTES // 4) for i in range(count)}

    begin = time.perf_counter()
    with open(a.file, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    saved = time.perf_counter()
    torch.load(a.file)
    loaded = time.perf_counter()
    scale = a.bytes / (count * TENSOR_BYTES)
    print(json.dumps({"save_s": (saved - begin) * scale, "load_s": (loaded - saved) * scale}))


main()
