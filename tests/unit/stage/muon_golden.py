"""The golden values of muon_test.cc, by PyTorch in float64: /usr/bin/python3 muon_golden.py

Three updates of one hidden matrix as Muon's publication has them (Jordan et al., 2024: momentum as an
average, Nesterov, Newton-Schulz of five steps), and its Newton-Schulz alone.
"""
import torch

ROWS, COLUMNS = 3, 5
MOMENTUM, LR, DECAY, CLIP = 0.95, 0.02, 0.1, 0.5


def numbers(seed, shape):
    """Small fractions, exact in float32: what muon_test.cc makes as well."""
    size = shape[0] * shape[1]
    values = [((i * 37 + seed * 101 + i * i * 11) % 127 - 63) / 64 for i in range(size)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def newton_schulz(u):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if u.shape[0] > u.shape[1] else x


def muon(shape, scale):
    w, m = numbers(1, shape), torch.zeros(shape, dtype=torch.float64)
    for step in range(3):
        g = CLIP * numbers(10 + step, shape)
        m = m.lerp(g, 1 - MOMENTUM)
        o = newton_schulz(g.lerp(m, MOMENTUM))
        w = w * (1 - LR * DECAY) - LR * scale * o
    return w


for name, x in [
    ("newton_schulz", newton_schulz(numbers(7, (ROWS, COLUMNS)))),
    ("wide, spectral", muon((ROWS, COLUMNS), 1.0)),
    ("tall, spectral", muon((COLUMNS, ROWS), (COLUMNS / ROWS) ** 0.5)),
    ("wide, adamw", muon((ROWS, COLUMNS), 0.2 * COLUMNS**0.5)),
]:
    print(f"// {name}")
    print(", ".join(f"{v:.9f}" for v in x.flatten().tolist()))
