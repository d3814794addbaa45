"""Models of transformers' own, and what transformers makes of any model, for exchange.bats.

usage: transformers_peer.py make FOLDER                 small models in FOLDER/NAME, as it saves them
       transformers_peer.py loss SHARD SEQ_LEN MODEL... of each {"model": as given, "loss": nats per
                                                        token, "dtype": what it is stored as}
       transformers_peer.py same MODEL MODEL...         ends with 1 unless the weights of each two
                                                        are equal
       transformers_peer.py continue MODEL TEXT TOKENS  the text and the likeliest bytes after it
       transformers_peer.py tokens MODEL TEXT_FILE SHARD ends with 1 unless its tokenizer makes the
                                                        shard of the text, and the text of the shard

The weights are random and large, so that whatever is computed otherwise shows in the loss.
"""

import json
import pathlib
import sys
import zlib

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig

from torch_reference import read_windows

ROPE = {"rope_type": "default", "rope_theta": 500.0}
SMALL = {"vocab_size": 256, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
         "num_attention_heads": 6, "max_position_embeddings": 64, "rms_norm_eps": 1e-3}


def llama(heads=6, **changes):
    return LlamaConfig(**{**SMALL, "num_key_value_heads": heads, "rope_parameters": ROPE, **changes})


def mistral(window):
    return MistralConfig(**SMALL, num_key_value_heads=2, rope_parameters=ROPE, sliding_window=window)


# NAME: configuration, and how it is saved.
MODELS = {
    "multi-head": (llama(), {}),
    "grouped": (llama(2), {}),
    "multi-query": (llama(1), {}),
    "head-dim": (llama(2, head_dim=16), {}),
    "tied": (llama(2, tie_word_embeddings=True), {}),
    "bfloat16": (llama(2), {"dtype": torch.bfloat16}),
    "float16": (llama(2), {"dtype": torch.float16}),
    "sharded": (llama(2), {"max_shard_size": "40KB"}),
    "mistral": (mistral(None), {}),
    "window": (mistral(16), {}),
}


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            parameter.copy_(1 + 0.2 * noise)
        elif parameter.shape[0] == SMALL["vocab_size"]:  # embedding and head
            parameter.copy_(0.3 * noise)
        else:
            parameter.copy_(1.5 * noise / parameter.shape[1] ** 0.5)


def make(folder):
    for name, (config, saved) in MODELS.items():
        model = AutoModelForCausalLM.from_config(config)
        randomise(model, zlib.crc32(name.encode()))
        options = {key: value for key, value in saved.items() if key != "dtype"}
        model.to(saved.get("dtype", torch.float32)).save_pretrained(f"{folder}/{name}", **options)


def load(folder, dtype=torch.float32):
    model, found = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, local_files_only=True)
    assert not any(found.values()), f"{folder}: {found}"
    return model.eval()


def loss(shard, seq_len, *folders):
    inputs, targets = read_windows(shard, int(seq_len))
    for folder in folders:
        logits = load(folder)(inputs).logits
        value = F.cross_entropy(logits.flatten(0, 1).double(), targets.flatten()).item()
        stored = str(load(folder, "auto").dtype).removeprefix("torch.")
        print(json.dumps({"model": folder, "loss": value, "dtype": stored}))


def same(*folders):
    for one, other in zip(folders[::2], folders[1::2], strict=True):
        a, b = load(one).state_dict(), load(other).state_dict()
        if a.keys() != b.keys() or not all(torch.equal(a[name], b[name]) for name in a):
            sys.exit(f"{one} and {other} differ")


def carry_on(folder, text, tokens):
    model = load(folder)
    prompt = torch.tensor([list(text.encode())])
    written = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                             max_new_tokens=int(tokens))
    sys.stdout.buffer.write(bytes(written[0].tolist()) + b"\n")


def tokens(folder, text_file, shard):
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    text = pathlib.Path(text_file).read_bytes().decode()
    inputs, targets = read_windows(shard, 1)
    ours = [inputs[0].item(), *targets.flatten().tolist()]
    if tokenizer(text)["input_ids"] != ours:
        sys.exit("other tokens")
    if tokenizer.decode(ours) != text:
        sys.exit("another text")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    with torch.no_grad():
        {"make": make, "loss": loss, "same": same, "continue": carry_on,
         "tokens": tokens}[command](*arguments)
