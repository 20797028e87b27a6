#!/usr/bin/env python3
"""How far training in f32 departs from training in f64: netc beside PyTorch, on the same network from the same start.

    python3 tests/bench/curves.py [--net small] [--seeds 1,2,3] [--steps 200] [--device cpu]
    python3 tests/bench/curves.py --net alexnet --data FOLDER [--seeds 1] [--steps 200]

Needs PyTorch and NumPy (with --data Pillow too) in the Python that runs it, and a release build of netc. For each seed netc
draws the parameters; netc and PyTorch then each train in f64 and in f32, each with batches of its own order, without dropout.
A row is the mean over steps of |loss in f32 - loss in f64| / loss in f64: of all steps, of the first fifty, of the last
twenty. Training is chaotic: a difference grows however small it was, so a single seed says little about the last steps.

Data: fashion-mini; FOLDER has a folder `train` of class folders of pictures, and `test` likewise.
"""

import argparse
import glob
import gzip
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile

import numpy
import torch
from compare import ROOT, build
from torch import nn

CLASSES = 10
# Batch, learning rate, how the first weights are drawn.
SETTINGS = {"small": (128, 0.05, "he"), "alexnet": (8, 0.002, "he")}


def tensors(path):
    """A safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    types = {"F32": numpy.float32, "F64": numpy.float64}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in types:
            start, end = entry["data_offsets"]
            found[name] = numpy.frombuffer(data[start:end], types[entry["dtype"]]).reshape(entry["shape"])
    return found


class Netc:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        batch, rate, weights = SETTINGS[arguments.net]
        with open(os.path.join(ROOT, "nets", arguments.net + ".net"), encoding="utf-8") as file:
            text = file.read()
        self.net = os.path.join(folder, "curve.net")
        with open(self.net, "w", encoding="utf-8") as file:
            file.write(text.replace("F1000", f"F{CLASSES}"))
        self.config = os.path.join(folder, "curve.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            if arguments.data:
                parts = [f'{part} = "{os.path.join(arguments.data, part)}"' for part in ("train", "test")]
                file.write("[data]\n" + "\n".join(parts) + "\nresize = 256\ncrop = 227\n")
            file.write(f'[train]\nbatch = {batch}\n[optimizer]\nlearning_rate = {rate}\n[init]\nweights = "{weights}"\n')
            file.write("[regularization]\ndropout = 0.0\n")

    def run(self, seed, precision, sets):
        """Trains; gives the folder of the run."""
        folder = os.path.join(self.folder, f"{seed}-{precision}-{len(sets)}")
        sets = [f"train.seed={seed}", f'output.dir="{folder}"', *sets]
        command = [self.arguments.netc, "train", self.net, "--config", self.config, "--quiet", "--force"]
        command += ["--device", self.arguments.device, "--precision", precision]
        command += [part for assignment in sets for part in ("--set", assignment)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}:\n{done.stderr}")
        return folder

    def start(self, seed):
        """The parameters that a seed draws: a training that changes nothing."""
        sets = ["train.epochs=1", "optimizer.learning_rate=1e-300", "optimizer.weight_decay=0"]
        return tensors(os.path.join(self.run(seed, "f64", sets), "final.safetensors"))

    def losses(self, seed, precision, images):
        batch, steps = SETTINGS[self.arguments.net][0], self.arguments.steps
        epochs = -(-steps * batch // images)
        folder = self.run(seed, precision, [f"train.epochs={epochs}"])
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return numpy.array([row["loss"] for row in rows if "loss" in row])[:steps]


def fashion():
    """fashion-mini's training images and labels."""

    def idx(name):
        with gzip.open(os.path.join(ROOT, "src", "data", "fashion-mini", name + "-ubyte.gz")) as file:
            data = file.read()
        shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
        return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)

    return idx("train-images-idx3")[:, None], idx("train-labels-idx1")


def pictures(folder):
    """Pictures of class folders, 256 x 256, of which the middle 227 x 227."""
    from PIL import Image

    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for path in sorted(glob.glob(os.path.join(folder, name, "*"))):
            picture = Image.open(path).convert("RGB").resize((256, 256), Image.BILINEAR)
            images.append(numpy.asarray(picture)[14:241, 14:241].transpose(2, 0, 1))
            labels.append(label)
    return numpy.stack(images), numpy.array(labels)


def pytorch(arguments, start, seed, images, labels, number):
    """PyTorch's losses from the same parameters."""
    batch, rate, _ = SETTINGS[arguments.net]
    net = build(arguments.net)
    if net[-1].out_features != CLASSES:
        net[-1] = nn.Linear(net[-1].in_features, CLASSES)
    for layer in net:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    net = net.double()
    letters = [("c" if isinstance(layer, nn.Conv2d) else "f", layer) for layer in net if hasattr(layer, "weight")]
    counts = {"c": 0, "f": 0}
    for letter, layer in letters:
        counts[letter] += 1
        for part in ("weight", "bias"):
            value = start[f"{letter}{counts[letter]}.{part}"]
            getattr(layer, part).data = torch.tensor(value.astype(numpy.float64))
    net = net.to(number)
    optimizer = torch.optim.SGD(net.parameters(), rate, 0.9, weight_decay=0.0005)
    order, losses = numpy.random.default_rng(seed), []
    for _ in range(arguments.steps):
        chosen = order.choice(len(images), batch, replace=False)
        given = torch.tensor(images[chosen]).to(number)
        loss = nn.functional.cross_entropy(net(given), torch.tensor(labels[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return numpy.array(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=SETTINGS, default="small")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--device", default="cpu", help="netc's device")
    parser.add_argument("--data", help="pictures in class folders, below train and test")
    parser.add_argument("--netc", default=os.path.join(ROOT, "target", "release", "netc"))
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    if (arguments.net == "alexnet") != bool(arguments.data):
        sys.exit("alexnet takes --data, small does not")
    train = pictures(os.path.join(arguments.data, "train")) if arguments.data else fashion()
    images, labels = train[0].astype(numpy.float64) / 255, train[1].astype(numpy.int64)
    images -= images.mean(0)
    print(f"{'seed':<7}{'':<10}{'all steps':>11}{'first 50':>11}{'last 20':>11}")
    means = {"netc": [], "PyTorch": []}

    def row(seed, name, single, double):
        apart = abs(single - double) / abs(double)
        parts = [apart.mean(), apart[:50].mean(), apart[-20:].mean()]
        means[name].append(parts)
        print(f"{seed:<7}{name:<10}" + "".join(f"{part:>11.1e}" for part in parts), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        netc = Netc(arguments, folder)
        for seed in map(int, arguments.seeds.split(",")):
            start = netc.start(seed)
            both = [netc.losses(seed, precision, len(images)) for precision in ("f32", "f64")]
            row(seed, "netc", *both)
            both = [pytorch(arguments, start, seed, images, labels, number) for number in (torch.float32, torch.float64)]
            row(seed, "PyTorch", *both)
    for name, rows in means.items():
        print(f"{'median':<7}{name:<10}" + "".join(f"{statistics.median(part):>11.1e}" for part in zip(*rows)))


if __name__ == "__main__":
    main()
