"""A tiny text encoder as a third party would hand it over, and a small catalogue with names and captions."""

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from support.tiny_bundle import picture

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 60,
    "max_position_embeddings": 140,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "layer_norm_eps": 1e-12,
}
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary() -> list[str]:
    """Every letter, at the beginning of a word and in it: no word is unknown."""
    return [*MARKS, *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", ",", "-", "'"]


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under BERT's names."""
    torch.manual_seed(seed)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (CONFIG["vocab_size"], width),
        "embeddings.position_embeddings.weight": (CONFIG["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (2, width),
    }
    made = {name: torch.randn(shape) for name, shape in shapes.items()}
    norms, linears = ["embeddings.LayerNorm"], {}
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        same = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        linears |= {f"{layer}.{part}": (width, width) for part in same}
        linears |= {f"{layer}.intermediate.dense": (inner, width), f"{layer}.output.dense": (width, inner)}
    for name in norms:
        made |= {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}
    for name, (rows, columns) in linears.items():
        made |= {f"{name}.weight": torch.randn(rows, columns) / columns**0.5, f"{name}.bias": 0.1 * torch.randn(rows)}
    return made


def write_encoder(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
    save_file(weights(), folder / "model.safetensors")
    return folder


def write_manifest(folder: Path, classes: int = 12, photos: int = 3) -> Path:
    """`classes` classes in families of two, with photographs and a caption each."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(classes):
        name, family = f"Thing-{LETTERS[number]}", f"Kind-{LETTERS[number // 2]}"
        for view in range(photos):
            path = f"{number}-{view}.png"
            picture(number, view=view).save(folder / path)
            rows.append((path, "train", family, name, f"a fine {name}" if view == 0 else ""))
    picture(0).save(folder / "test.png")
    rows.append(("test.png", "test", "Kind-a", "Thing-z", "never seen"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "split", "coarse", "fine", "caption"), *rows])
    return folder / "manifest.csv"
