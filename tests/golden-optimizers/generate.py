"""Five steps of each optimizer in double precision, by PyTorch: run with a PyTorch to make optimizers.json anew.

The network is `input 1x4x4  C3 -> F5(act=tanh) -> F4`: a 3x3 convolution with ReLU, two fully connected layers. `sgd` is written
from AlexNet's formula, which torch.optim.SGD is not: v = momentum*v - lr*weight_decay*w - lr*grad; w = w + v.
"""

import json
import os

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
STEPS, BATCH, RATE = 5, 6, 0.05
SHAPES = {
    "c1.weight": (3, 1, 3, 3), "c1.bias": (3,), "f1.weight": (5, 48), "f1.bias": (5,), "f2.weight": (4, 5), "f2.bias": (4,),
}


def forward(p, x):
    x = F.relu(F.conv2d(x, p["c1.weight"], p["c1.bias"], padding=1))
    x = torch.tanh(F.linear(x.flatten(1), p["f1.weight"], p["f1.bias"]))
    return F.linear(x, p["f2.weight"], p["f2.bias"])


def alexnet(parameters, rate, momentum, decay):
    velocity = [torch.zeros_like(p) for p in parameters]

    def step():
        with torch.no_grad():
            for p, v in zip(parameters, velocity):
                v.mul_(momentum).sub_(rate * decay * p).sub_(rate * p.grad)
                p.add_(v)

    return step


def run(case, initial, images, labels):
    p = {name: value.clone().requires_grad_() for name, value in initial.items()}
    decay, kind = case["weight_decay"], case["kind"]
    groups = [
        {"params": [p[n] for n in p if n.endswith("weight")], "weight_decay": decay},
        {"params": [p[n] for n in p if n.endswith("bias")], "weight_decay": decay if case["decay_biases"] else 0.0},
    ]
    betas = (case.get("beta1"), case.get("beta2"))
    if kind == "sgd":
        steps = [alexnet(g["params"], RATE, case["momentum"], g["weight_decay"]) for g in groups]
    else:
        optimizer = {
            "nesterov": lambda: torch.optim.SGD(groups, lr=RATE, momentum=case["momentum"], nesterov=True),
            "adam": lambda: torch.optim.Adam(groups, lr=RATE, betas=betas, eps=case["epsilon"]),
            "adamw": lambda: torch.optim.AdamW(groups, lr=RATE, betas=betas, eps=case["epsilon"]),
        }[kind]()
        steps = [optimizer.step]
    losses = []
    for step in range(STEPS):
        for value in p.values():
            value.grad = None
        loss = F.cross_entropy(forward(p, images[step]), labels[step], label_smoothing=case["smoothing"])
        losses.append(loss.item())
        loss.backward()
        if case["clip"] > 0:
            torch.nn.utils.clip_grad_norm_(list(p.values()), case["clip"])
        for update in steps:
            update()
    return {"losses": losses, "after": {name: value.detach().flatten().tolist() for name, value in p.items()}}


def main():
    random = torch.Generator().manual_seed(7)
    initial = {name: 0.4 * torch.randn(shape, generator=random) for name, shape in SHAPES.items()}
    images = torch.randn(STEPS, BATCH, 1, 4, 4, generator=random)
    labels = torch.randint(0, 4, (STEPS, BATCH), generator=random)
    plain = {"weight_decay": 0.01, "decay_biases": True, "clip": 0.0, "smoothing": 0.0}
    momentum, adam = {"momentum": 0.9}, {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
    cases = [
        {"kind": "sgd", **plain, **momentum},
        {"kind": "sgd", **plain, **momentum, "decay_biases": False, "clip": 0.3, "smoothing": 0.1},
        {"kind": "nesterov", **plain, **momentum},
        {"kind": "nesterov", **plain, **momentum, "decay_biases": False, "clip": 0.3},
        {"kind": "adam", **plain, **adam},
        {"kind": "adam", **plain, **adam, "decay_biases": False, "smoothing": 0.2},
        {"kind": "adamw", **plain, **adam},
        {"kind": "adamw", **plain, **adam, "decay_biases": False, "clip": 0.3, "weight_decay": 0.2},
    ]
    out = {
        "torch": torch.__version__,
        "rate": RATE,
        "initial": {name: {"shape": list(v.shape), "values": v.flatten().tolist()} for name, v in initial.items()},
        "images": images.flatten(1).tolist(),
        "labels": labels.tolist(),
        "cases": [{**case, **run(case, initial, images, labels)} for case in cases],
    }
    with open(os.path.join(os.path.dirname(__file__), "optimizers.json"), "w") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
