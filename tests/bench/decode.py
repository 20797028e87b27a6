#!/usr/bin/env python3
"""Decoding for training: `netc bench --data` beside PyTorch's DataLoader with PIL, in turn, on this machine.

    python3 tests/bench/decode.py --netc target/release/netc [--images 4000] [--rounds 5] [--workers 2] [--folder F]

Makes JPEG files of 256x256 pixels (smooth random content with some noise, quality 90) in class folders, once, then
measures in turn, `--rounds` times each:

- netc: `bench --data FOLDER` with `data.crop = 227`, batches of 128;
- PyTorch: DataLoader(num_workers=2, batch_size=128, shuffle=True) over a data set of its own that opens with PIL, converts
  to RGB, cuts a random 227x227 window and gives a float tensor divided by 255. Starting the workers is not counted.

Prints both medians in images a second, and their ratio. Needs torch, pillow and numpy.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

SIDE, CROP, BATCH, CLASSES = 256, 227, 128, 20


def make(folder, count):
    """Pictures about as detailed as photographs: some 20 kB each."""
    rng = np.random.default_rng(1)
    for i in range(count):
        path = os.path.join(folder, f"c{i % CLASSES:03d}", f"{i:06d}.jpg")
        if os.path.exists(path):
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        small = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.BICUBIC))
        picture = picture + rng.normal(0, 4, picture.shape)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=90)


class Folder(Dataset):
    """As torchvision's ImageFolder with RandomCrop and ToTensor."""

    def __init__(self, folder):
        classes = sorted(os.listdir(folder))
        self.files = [
            (os.path.join(folder, name, file), label)
            for label, name in enumerate(classes)
            for file in sorted(os.listdir(os.path.join(folder, name)))
        ]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        path, label = self.files[index]
        with open(path, "rb") as file:
            picture = Image.open(file).convert("RGB")
        left = random.randint(0, picture.width - CROP)
        top = random.randint(0, picture.height - CROP)
        picture = picture.crop((left, top, left + CROP, top + CROP))
        pixels = torch.from_numpy(np.array(picture))
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), label


def peer(folder, workers):
    loader = DataLoader(Folder(folder), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=False)
    batches = iter(loader)
    # The workers are up once the first batch is there; it is not counted.
    next(batches)
    start, images = time.perf_counter(), 0
    for pixels, _ in batches:
        images += len(pixels)
    return images / (time.perf_counter() - start)


def netc(program, folder, workers):
    command = [program, "bench", "--data", folder, "--json", "--batch", str(BATCH), "--input", f"3x{CROP}x{CROP}"]
    command += ["--set", f"data.crop={CROP}", "--set", f"data.workers={workers}", "--seconds", "0"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["images_per_second"], report["peak_resident_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netc", default="target/release/netc")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="where the pictures are or shall be; otherwise they are made and removed again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or temporary
        make(folder, arguments.images)
        ours, theirs, peak = [], [], 0
        for turn in range(arguments.rounds):
            speed, resident = netc(arguments.netc, folder, arguments.workers)
            ours.append(speed)
            peak = max(peak, resident or 0)
            theirs.append(peer(folder, arguments.workers))
            print(f"round {turn + 1}: netc {ours[-1]:.0f}, DataLoader {theirs[-1]:.0f} images/s", flush=True)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"medians: netc {a:.0f}, DataLoader {b:.0f} images/s; ratio {a / b:.2f}; netc's peak {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
