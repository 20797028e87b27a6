"""Golden cases of batch normalization and joins, computed by PyTorch in double precision.

    python tests/golden-joins/generate.py        # needs torch, numpy, safetensors; rewrites this folder's cases

The form is that of tests/golden (its README.md says what the names mean), with more ops:

- `batchnorm`: x, [w, b], running_mean, running_var, dy -> y, dx, [dw, db], and the running statistics after the step;
  attrs eps, momentum, mode (training or inference; inference has no dy and no gradients).
- `add`, `concat`: x1, x2, ..., dy -> y, dx1, dx2, ...
- `net` with attrs.text, a network of the language, in place of attrs.layers: tensors by netc's names (`c1.weight`),
  expected after each of the three steps (`after1.n1.running_mean`).

Every net is written twice here, as text and as PyTorch, so that the text's meaning is part of the case.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
cases, files = [], {}


def draw(generator, *shape, scale=1.0, middle=0.0):
    """Numbers that float32 holds exactly, as float64."""
    values = middle + scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.to(torch.float32).to(torch.float64)


def add_case(name, op, attrs, inputs, compute):
    """Runs `compute` in float64 for the expected values, and in float32 for what single precision deviates."""
    cast = lambda dtype: {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    expected, narrow = compute(cast(torch.float64)), compute(cast(torch.float32))
    file = f"{op}.safetensors"
    tensors = files.setdefault(file, {})
    case = {"name": name, "op": op, "file": file, "attrs": attrs, "inputs": {}, "expected": {}, "torch_f32_err": {}}
    for key, value in inputs.items():
        real = value.is_floating_point()
        data = value.detach().numpy().astype(np.float32 if real else np.int32)
        tensors[f"{name}/{key}"] = data
        dtype = "F32" if real else "I32"
        case["inputs"][key] = {"tensor": f"{name}/{key}", "dtype": dtype, "shape": list(data.shape)}
    for key, value in expected.items():
        data = np.atleast_1d(value.detach().numpy().astype(np.float64))
        # As an expected tensor and an input may have one name.
        stored = f"{name}/expected.{key}"
        tensors[stored] = data
        case["expected"][key] = {"tensor": stored, "dtype": "F64", "shape": list(data.shape)}
        error = float(np.abs(np.atleast_1d(narrow[key].detach().numpy()).astype(np.float64) - data).max())
        scale = float(np.abs(data).max())
        relative = error / scale if scale > 0 else 0.0
        case["torch_f32_err"][key] = {"max_abs": error, "max_rel": relative, "scale": scale}
    cases.append(case)


def batch_norm(name, shape, affine, mode, seed, eps=1e-5, momentum=0.1, middle=0.5):
    generator = torch.Generator().manual_seed(seed)
    channels = shape[1]
    inputs = {
        "x": draw(generator, *shape, scale=1.5, middle=middle),
        "running_mean": draw(generator, channels, scale=0.5),
        "running_var": draw(generator, channels, scale=0.2, middle=1.0),
    }
    if affine:
        inputs["w"], inputs["b"] = draw(generator, channels, middle=1.0), draw(generator, channels)
    if mode == "training":
        inputs["dy"] = draw(generator, *shape)

    def compute(t):
        t = {k: v.clone() for k, v in t.items()}
        for key in ("x", "w", "b"):
            if key in t:
                t[key].requires_grad_()
        training = mode == "training"
        y = F.batch_norm(t["x"], t["running_mean"], t["running_var"], t.get("w"), t.get("b"), training, momentum, eps)
        out = {"y": y}
        if training:
            y.backward(t["dy"])
            out |= {"dx": t["x"].grad, "running_mean": t["running_mean"], "running_var": t["running_var"]}
            if affine:
                out |= {"dw": t["w"].grad, "db": t["b"].grad}
        return out

    attrs = {"eps": eps, "momentum": momentum, "affine": affine, "mode": mode}
    add_case(name, "batchnorm", attrs, inputs, compute)


def join(name, op, shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = {f"x{i + 1}": draw(generator, *shape) for i, shape in enumerate(shapes)}
    bring = (lambda xs: sum(xs[1:], xs[0])) if op == "add" else (lambda xs: torch.cat(xs, dim=1))
    inputs["dy"] = draw(generator, *bring([torch.zeros(shape) for shape in shapes]).shape)

    def compute(t):
        xs = [t[f"x{i + 1}"].clone().requires_grad_() for i in range(len(shapes))]
        y = bring(xs)
        y.backward(t["dy"])
        return {"y": y} | {f"dx{i + 1}": x.grad for i, x in enumerate(xs)}

    add_case(name, op, {}, inputs, compute)


def net(name, text, shape, batch, classes, parameters, norms, forward, seed):
    """Three steps of SGD with momentum and decay of every learned value. `parameters`: name -> shape."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for key, sizes in parameters.items():
        fan_in = int(np.prod(sizes[1:])) if len(sizes) > 1 else 1
        if len(sizes) > 1:
            inputs[key] = draw(generator, *sizes, scale=(2 / fan_in) ** 0.5)
        else:
            inputs[key] = draw(generator, *sizes, scale=0.1, middle=1.0 if key.endswith("weight") else 0.0)
    for step in (1, 2, 3):
        inputs[f"x{step}"] = draw(generator, batch, *shape)
        inputs[f"labels{step}"] = torch.randint(classes, (batch,), generator=generator)
    lr, momentum, decay = 0.02, 0.9, 0.01

    def compute(t):
        p = {key: t[key].clone().requires_grad_() for key in parameters}
        running = {}
        for norm, channels in norms.items():
            running[f"{norm}.running_mean"] = torch.zeros(channels, dtype=t["x1"].dtype)
            running[f"{norm}.running_var"] = torch.ones(channels, dtype=t["x1"].dtype)

        def normalize(x, norm, eps=1e-5, momentum=0.1):
            mean, var = running[f"{norm}.running_mean"], running[f"{norm}.running_var"]
            return F.batch_norm(x, mean, var, p.get(f"{norm}.weight"), p.get(f"{norm}.bias"), True, momentum, eps)

        velocity = {key: torch.zeros_like(value) for key, value in p.items()}
        out = {}
        for step in (1, 2, 3):
            x = t[f"x{step}"].clone().requires_grad_()
            logits = forward(p, normalize, x)
            loss = F.cross_entropy(logits, t[f"labels{step}"].long())
            for value in p.values():
                value.grad = None
            loss.backward()
            out[f"loss{step}"] = loss
            if step == 1:
                out |= {"logits": logits, "dx": x.grad}
                out |= {f"d.{key}": value.grad.clone() for key, value in p.items()}
            with torch.no_grad():
                for key, value in p.items():
                    velocity[key] = momentum * velocity[key] - lr * decay * value - lr * value.grad
                    value += velocity[key]
            out |= {f"after{step}.{key}": value.detach().clone() for key, value in (p | running).items()}
        return out

    attrs = {"text": text, "input": list(shape), "batch": batch, "classes": classes, "lr": lr, "momentum": momentum,
             "weight_decay": decay}
    add_case(name, "net", attrs, inputs, compute)


def conv(p, name, x, pad, stride=1):
    return F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), stride=stride, padding=pad)


def fully(p, name, x):
    return F.linear(x.flatten(1), p[f"{name}.weight"], p[f"{name}.bias"])


def residual(p, normalize, x):
    a = F.relu(normalize(conv(p, "c1", x, 1), "n1"))
    b = conv(p, "c3", F.relu(normalize(conv(p, "c2", a, 1), "n2")), 1)
    a = F.relu(normalize(b, "n3") + a)
    left = normalize(conv(p, "c5", F.relu(conv(p, "c4", a, 1, 2)), 1), "n4")
    a = F.relu(left + conv(p, "c6", a, 0, 2))
    return fully(p, "f1", F.adaptive_avg_pool2d(a, 1))


RESIDUAL = """C5(act=none, bias=none) -> N(batch, affine) -> A
-> +[C5(act=none, bias=none) -> N(batch, affine) -> A -> C5(act=none, bias=none) -> N(batch, affine)] -> A
-> +[C7(stride=2) -> C7(act=none, bias=none) -> N(batch) | C7(kernel=1, stride=2, pad=0, act=none)] -> A
-> P(avg, global) -> F4"""


def dense(p, normalize, x):
    a = F.relu(conv(p, "c1", x, 1))
    a = torch.cat([a, F.relu(conv(p, "c2", normalize(a, "n1"), 1))], 1)
    a = torch.cat([a, F.relu(conv(p, "c3", normalize(a, "n2", 1e-3, 0.3), 1))], 1)
    a = torch.cat([F.relu(conv(p, "c4", F.max_pool2d(a, 2), 0)), F.max_pool2d(a, 2), F.avg_pool2d(a, 2)], 1)
    v = F.relu(fully(p, "f1", a))
    v = normalize(torch.cat([F.relu(fully(p, "f2", v)), v, F.relu(fully(p, "f3", v))], 1), "n3")
    v = v + F.relu(fully(p, "f4", v)) + v
    return fully(p, "f5", v)


DENSE = """C3 -> &[N(batch, affine) -> C2] -> &[N(batch, eps=1e-3, momentum=0.3) -> C4]
-> &[P -> C5(kernel=1) | P | P(avg)] -> F6 -> &[F3 | | F2] -> N(batch, affine) -> +[ | F11 | ] -> F3"""


batch_norm("training", (4, 5, 6, 3), False, "training", 1)
batch_norm("training_affine", (3, 7, 5, 4), True, "training", 2, momentum=0.3)
batch_norm("training_far_from_zero", (3, 2, 5, 5), True, "training", 3, middle=40.0)
batch_norm("training_large_eps", (2, 3, 4, 4), True, "training", 4, eps=0.5, momentum=1.0)
batch_norm("training_one_image", (1, 4, 3, 5), True, "training", 5)
batch_norm("training_vector", (9, 6), False, "training", 6)
batch_norm("training_vector_affine", (5, 17), True, "training", 7)
batch_norm("inference", (2, 5, 4, 3), False, "inference", 8)
batch_norm("inference_affine", (3, 4, 3, 5), True, "inference", 9, eps=1e-3)
batch_norm("inference_vector", (1, 11), True, "inference", 10)
join("add_two", "add", [(3, 5, 4, 6)] * 2, 11)
join("add_four", "add", [(2, 3, 5, 3)] * 4, 12)
join("add_vectors", "add", [(4, 9)] * 3, 13)
join("concat_unequal_channels", "concat", [(3, 5, 4, 3), (3, 1, 4, 3), (3, 8, 4, 3)], 14)
join("concat_one", "concat", [(2, 4, 3, 3)], 15)
join("concat_vectors", "concat", [(5, 7), (5, 2)], 16)
C = lambda name, o, i, k, bias=True: {f"{name}.weight": (o, i, k, k)} | ({f"{name}.bias": (o,)} if bias else {})
L = lambda name, o, i: {f"{name}.weight": (o, i), f"{name}.bias": (o,)}
N = lambda name, c: {f"{name}.weight": (c,), f"{name}.bias": (c,)}
net("residual", RESIDUAL, (2, 9, 7), 4, 4,
    C("c1", 5, 2, 3, False) | N("n1", 5) | C("c2", 5, 5, 3, False) | N("n2", 5) | C("c3", 5, 5, 3, False) | N("n3", 5)
    | C("c4", 7, 5, 3) | C("c5", 7, 7, 3, False) | C("c6", 7, 5, 1) | L("f1", 4, 7),
    {"n1": 5, "n2": 5, "n3": 5, "n4": 7}, residual, 17)
net("dense", DENSE, (1, 8, 6), 8, 3,
    C("c1", 3, 1, 3) | N("n1", 3) | C("c2", 2, 3, 3) | C("c3", 4, 5, 3) | C("c4", 5, 9, 1) | L("f1", 6, 23 * 12)
    | L("f2", 3, 6) | L("f3", 2, 6) | N("n3", 11) | L("f4", 11, 11) | L("f5", 3, 11),
    {"n1": 3, "n2": 5, "n3": 11}, dense, 18)

for file, tensors in files.items():
    save_file(tensors, HERE / file)
manifest = {"format": "netc-golden 1", "set": "joins", "oracle": f"torch {torch.__version__} float64",
            "layout": "NCHW, C order", "types": "inputs F32 (labels I32), expected F64", "cases": cases}
(HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
print(len(cases), "cases")
