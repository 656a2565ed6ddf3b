"""The networks of engine_bench.py as small PyTorch modules with random weights: input → features [N, d]. Their parameters lie in
`blocks`, so that "the last block" is one name."""
import torch
from torch import nn
from torch.nn import functional

VOCABULARY, TOKENS = 8192, 128


def convolution(i, o, kernel=1, stride=1, groups=1, activation=None):
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Residual(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.one, self.two = convolution(i, o, 3, stride, activation=nn.ReLU), convolution(o, o, 3)
        self.short = convolution(i, o, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.two(self.one(x)) + self.short(x))


class Inverted(nn.Module):
    def __init__(self, i, o, kernel, stride, factor):
        super().__init__()
        wide = i * factor
        expand = [convolution(i, wide, activation=nn.ReLU6)] if factor > 1 else []
        self.layers = nn.Sequential(*expand, convolution(wide, wide, kernel, stride, wide, nn.ReLU6), convolution(wide, o))
        self.whole = stride == 1 and i == o

    def forward(self, x):
        return x + self.layers(x) if self.whole else self.layers(x)


class Pictures(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        return functional.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1)


def resnet18():
    stem = nn.Sequential(convolution(3, 64, 7, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, 1))
    widths = [64, 64, 128, 256, 512]
    return Pictures(stem, *(Residual(widths[i + k], widths[i + 1], 2 if i > 0 and k == 0 else 1) for i in range(4) for k in (0, 1)))


def inverted(rows):
    blocks, i = [convolution(3, 32, 3, 2, activation=nn.ReLU6)], 32
    for factor, kernel, o, count, stride in rows:
        for k in range(count):
            blocks.append(Inverted(i, o, kernel, stride if k == 0 else 1, factor))
            i = o
    blocks[-1] = nn.Sequential(blocks[-1], convolution(i, 1280, activation=nn.ReLU6))
    return Pictures(*blocks)


def mobilenet_v2():
    return inverted([(1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 3, 32, 3, 2), (6, 3, 64, 4, 2), (6, 3, 96, 3, 1), (6, 3, 160, 3, 2),
                     (6, 3, 320, 1, 1)])


def efficientnet_lite0():
    return inverted([(1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
                     (6, 3, 320, 1, 1)])


class Layer(nn.Module):
    """BERT's: attention and two products, each with its residual sum and a normalisation after it."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.rise, self.fall = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def forward(self, x):
        n, length, width = x.shape

        def split(y):
            return y.view(n, length, self.heads, width // self.heads).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(split(self.query(x)), split(self.key(x)), split(self.value(x)))
        x = self.norm1(x + self.output(mixed.transpose(1, 2).reshape(n, length, width)))
        return self.norm2(x + self.fall(functional.gelu(self.rise(x))))


class Encoder(nn.Module):
    def __init__(self, layers=6, width=384, heads=12, inner=1536):
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, width), nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.Sequential(*(Layer(width, heads, inner) for _ in range(layers)))

    def forward(self, tokens):
        return self.blocks(self.norm(self.words(tokens) + self.places)).mean(1)


NETWORKS = {"ResNet-18": resnet18, "MobileNetV2": mobilenet_v2, "EfficientNet-Lite0": efficientnet_lite0, "MiniLM encoder": Encoder}


def make(name, batch):
    """The network in inference mode, its normalisations' statistics those of one batch, and that batch."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    x = torch.randint(0, VOCABULARY, (batch, TOKENS)) if name == "MiniLM encoder" else torch.randn(batch, 3, 224, 224)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # the exporter would make equal ones one
                parameter += 0.02 * torch.randn_like(parameter)
        network.train()(x[:8])
    return network.eval(), x


def export(network, x, path):
    """As ONNX, weights under PyTorch's names (the exporter turns a linear layer's weight over and gives it a number)."""
    import onnx
    from onnx import numpy_helper
    torch.onnx.export(network, (x[:2],), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, training=torch.onnx.TrainingMode.PRESERVE)
    model = onnx.load(path)
    turned = {p.detach().numpy().T.tobytes(): name for name, p in network.named_parameters() if p.ndim == 2}
    names = {}
    for tensor in model.graph.initializer:
        data = numpy_helper.to_array(tensor).tobytes()
        if tensor.name.startswith("onnx::") and data in turned:
            names[tensor.name] = tensor.name = turned[data]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(model, path)
