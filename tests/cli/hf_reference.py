"""The loss of a model in Hugging Face's format, by a reader that shares nothing with ptrain's.

usage: hf_reference.py MODEL_FOLDER TOKEN_SHARD SEQ_LEN
Reads config.json and the safetensors files as their specifications say, computes in float64
with PyTorch, and prints {"loss": nats per token, "tensors": N, "files": [names]}.
"""

import json
import pathlib
import struct
import sys

import torch
from torch_reference import loss_of, read_windows

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def read_file(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__")["format"] == "pt"
    spans = sorted(tuple(info["data_offsets"]) for info in header.values())
    assert spans[0][0] == 0 and spans[-1][1] == len(data) - 8 - length
    assert all(one[1] == other[0] for one, other in zip(spans, spans[1:]))
    tensors = {}
    for name, info in header.items():
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=TYPES[info["dtype"]])
        tensors[name] = flat.view(info["shape"]).double()
    return tensors


def read_weights(folder):
    single = folder / "model.safetensors"
    if single.exists():
        return read_file(single), [single.name]
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    names = sorted(set(index["weight_map"].values()))
    weights = {}
    for name in names:
        tensors = read_file(folder / name)
        assert set(tensors) == {t for t, f in index["weight_map"].items() if f == name}
        weights.update(tensors)
    return weights, names


def main():
    folder, shard, seq_len = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and config["model_type"] == "llama"
    assert config["hidden_act"] == "silu" and config["rope_scaling"] is None
    weights, files = read_weights(folder)
    assert ("lm_head.weight" in weights) != config["tie_word_embeddings"]
    with torch.no_grad():
        loss = loss_of(weights, config, *read_windows(shard, seq_len)).item()
    print(json.dumps({"loss": loss, "tensors": len(weights), "files": files}))


if __name__ == "__main__":
    main()
