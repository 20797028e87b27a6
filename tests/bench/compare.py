#!/usr/bin/env python3
"""netc and PyTorch in turn on this machine, and the ratio of their images a second.

    python3 tests/bench/compare.py [--pairs 5] [--nets small,kishida,alexnet] [--modes train,infer] [--device cpu]

Needs PyTorch in the Python that runs it, and a release build of netc. Run nothing else meanwhile. Each pair is one
run of netc and one of PyTorch, the order changing from pair to pair; the median of the pairs' ratios counts.

PyTorch is given what makes it fastest here: channels-last tensors, local response normalization written as sums of
shifted channels (its own takes most of the time), the fused SGD, in inference of the small networks torch.compile. Input
is random and stays the same; the loss is computed in every training step, dropout is on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Input channels and size, classes, batch, dropout of hidden F layers.
NETS = {
    "small": (1, 28, 10, 128, 0.5),
    "kishida": (3, 32, 256, 128, 0.5),
    "alexnet": (3, 227, 1000, 32, 0.5),
}


def build(name):
    """The network of nets/NAME.net in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Normalize(nn.Module):
        """x / (2 + 1e-4 * the sum of squares over 5 channels) ** 0.75: Krizhevsky et al. 2012, section 3.3."""

        def forward(self, x):
            squares = F.pad(x * x, (0, 0, 0, 0, 2, 2))
            count = x.shape[1]
            total = squares[:, 0:count]
            for shift in range(1, 5):
                total = total + squares[:, shift : shift + count]
            root = torch.rsqrt(total * 1e-4 + 2.0)
            return x * root * torch.sqrt(root)

    channels, size, classes, _, dropout = NETS[name]
    relu = lambda: nn.ReLU(inplace=True)  # noqa: E731
    if name == "alexnet":
        pool = lambda: nn.MaxPool2d(3, 2)  # noqa: E731
        layers = [
            nn.Conv2d(3, 96, 11, 4), relu(), pool(), Normalize(),
            nn.Conv2d(96, 256, 5, padding=2), relu(), pool(), Normalize(),
            nn.Conv2d(256, 384, 3, padding=1), relu(),
            nn.Conv2d(384, 384, 3, padding=1), relu(),
            nn.Conv2d(384, 256, 3, padding=1), relu(), pool(),
            nn.Flatten(),
            nn.Linear(9216, 4096), relu(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), relu(), nn.Dropout(dropout),
            nn.Linear(4096, classes),
        ]  # fmt: skip
    else:
        layers = [
            nn.Conv2d(channels, 48, 3, padding=1), relu(), nn.MaxPool2d(2), Normalize(),
            nn.Conv2d(48, 96, 3, padding=1), relu(), nn.MaxPool2d(2), Normalize(),
            nn.Flatten(),
            nn.Linear(96 * (size // 4) ** 2, 1024), relu(), nn.Dropout(dropout),
            nn.Linear(1024, classes),
        ]  # fmt: skip
    return nn.Sequential(*layers)


def peer(arguments):
    """Measures PyTorch; prints one JSON object."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    channels, size, classes, batch, _ = NETS[arguments.peer]
    batch = arguments.batch or batch
    train = arguments.modes == "train"
    net = build(arguments.peer).to(memory_format=torch.channels_last).train(train)
    images = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % classes
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005, fused=True)
    run_net = torch.compile(net) if arguments.compile else net

    def step():
        if train:
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(run_net(images), labels).backward()
            optimizer.step()
        else:
            with torch.inference_mode():
                run_net(images)

    for _ in range(2):
        step()
    start = time.perf_counter()
    step()
    runs = max(1, round(arguments.seconds / (time.perf_counter() - start)))
    figures = []
    for _ in range(arguments.windows):
        start = time.perf_counter()
        for _ in range(runs):
            step()
        figures.append(runs * batch / (time.perf_counter() - start))
    print(json.dumps({"images_per_second": statistics.median(figures)}))


def measured(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{") :])["images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--nets", default="small,kishida,alexnet")
    parser.add_argument("--modes", default="train,infer")
    parser.add_argument("--batch", type=int, default=0, help="images; 0: the network's")
    parser.add_argument("--device", default="cpu", help="netc's device")
    parser.add_argument("--netc", default=os.path.join(ROOT, "target", "release", "netc"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--peer", choices=NETS, help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments)
    effort = ["--windows", str(arguments.windows), "--seconds", str(arguments.seconds)]
    print(f"{'net':8} {'mode':6} {'batch':>5} {'netc':>9} {'PyTorch':>9}  ratio: median, all pairs")
    for name in arguments.nets.split(","):
        batch = arguments.batch or NETS[name][3]
        for mode in arguments.modes.split(","):
            ours = [arguments.netc, "bench", os.path.join(ROOT, "nets", f"{name}.net"), "--json"]
            ours += ["--device", arguments.device, "--batch", str(batch), *effort]
            ours += ["--set", "regularization.dropout=0.5"]
            theirs = [sys.executable, __file__, "--peer", name, "--modes", mode, "--batch", str(batch)]
            theirs += ["--threads", str(arguments.threads), *effort]
            if mode == "train":
                ours.append("--train")
            elif name != "alexnet":
                theirs.append("--compile")
            pairs = []
            for pair in range(arguments.pairs):
                commands = [ours, theirs] if pair % 2 == 0 else [theirs, ours]
                figures = [measured(command) for command in commands]
                pairs.append(tuple(figures if pair % 2 == 0 else reversed(figures)))
            ratios = [a / b for a, b in pairs]
            middle = [statistics.median(figures) for figures in zip(*pairs)]
            print(
                f"{name:8} {mode:6} {batch:5} {middle[0]:9.1f} {middle[1]:9.1f}  {statistics.median(ratios):.2f}"
                f"  ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
                flush=True,
            )


if __name__ == "__main__":
    main()
