"""The golden values of outer_step_test.cc, by another program: python3 outer_step_golden.py

Every operation on float32 is one on float64, rounded once more, which for +, -, *, / of two float32
numbers gives what IEEE 754 says. With PyTorch at hand (Debian's python3-torch) it also takes three steps
of torch.optim.SGD with Nesterov's momentum.
"""
import hashlib
import struct

SIZE = 461
MASK = 2**64 - 1


def scrambled(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def lane_numbers(seed, size=SIZE):
    values = []
    for i in range(size):
        r = scrambled((seed * 0x100000001B3 + i) & MASK)
        bits = (r >> 63) << 31 | (126 - (r >> 32) % 12) << 23 | r & 0x7FFFFF
        values.append(struct.unpack("<f", struct.pack("<I", bits))[0])
    return values


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def outer_steps():
    lr, momentum, weight, kept = f32(0.7), f32(0.9), 3.0, f32(0.3)
    taken = f32(1 - kept)
    anchor, velocity, weights = lane_numbers(1), [0.0] * SIZE, lane_numbers(2)
    for step in range(3):
        delta = [f32(a - w) for a, w in zip(anchor, weights)]
        for i, d in enumerate(delta):
            g = f32(d / weight)
            velocity[i] = f32(f32(momentum * velocity[i]) + g)
            anchor[i] = f32(anchor[i] - f32(lr * f32(g + f32(momentum * velocity[i]))))
        weights = [f32(f32(kept * w) + f32(taken * a)) for w, a in zip(weights, anchor)]
    return hashlib.sha256(struct.pack(f"<{3 * SIZE}f", *anchor, *velocity, *weights)).hexdigest()


def torch_steps():
    import torch

    anchor = torch.nn.Parameter(torch.tensor(lane_numbers(1, 4)))
    optimiser = torch.optim.SGD([anchor], lr=0.7, momentum=0.9, nesterov=True)
    for step in range(3):
        anchor.grad = torch.tensor(lane_numbers(10 + step, 4))
        optimiser.step()
    return anchor.tolist()


print(outer_steps())
try:
    print(torch_steps())
except ImportError:
    print("no PyTorch here")
