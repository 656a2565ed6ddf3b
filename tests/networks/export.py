#!/usr/bin/env python3
"""Networks as people have them, exported by PyTorch with random weights: files for tests/networks/compare.py. A referee's tool,
never run by users; needs torch, torchvision, timm, transformers and onnxscript in its own Python.

usage: export.py FOLDER [NETWORK…]

For each network NAME-EXPORTER-BATCH.onnx: both exporters (script: torch.onnx.export(dynamo=False), dynamo: True), a dynamic batch
and a batch of 1. BatchNorm's statistics are random too: a network whose statistics are the defaults hides mistakes.
"""
import pathlib
import sys
import traceback
import warnings

import torch
from torch import nn

# A torchvision built for another torch does not load its operators; none of these networks has them, but it names two.
try:
    torch.ops.torchvision.nms
except (AttributeError, RuntimeError):
    LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision

TOKENS, LENGTH = 1000, 16


class UNet(nn.Module):
    """Down twice, up twice: by transposed convolution and by resizing; skips are concatenated, sizes taken from them."""

    def __init__(self):
        super().__init__()
        def block(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.GroupNorm(4, o), nn.SiLU(),
                                 nn.Conv2d(o, o, 3, padding=1), nn.InstanceNorm2d(o, affine=True), nn.LeakyReLU(0.1))
        self.down1, self.down2, self.middle = block(3, 16), block(16, 32), block(32, 64)
        self.pool, self.up2 = nn.MaxPool2d(2), nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.join2, self.join1, self.last = block(64, 32), block(48, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(self.pool(a))
        c = self.join2(torch.cat([self.up2(self.middle(self.pool(b))), b], 1))
        c = nn.functional.interpolate(c, size=a.shape[2:], mode="bilinear", align_corners=False)
        return self.last(self.join1(torch.cat([c, a], 1)))


class Encoder(nn.Module):
    """PyTorch's own encoder layers: attention whose rows are [length, batch · heads, d]. Only the newer exporter takes them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.layers(x)


class Hidden(nn.Module):
    """Of a Hugging Face encoder only its last hidden states."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


def bert(attention):
    from transformers import BertConfig, BertModel
    config = BertConfig(vocab_size=TOKENS, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
                        max_position_embeddings=64, attn_implementation=attention)
    return Hidden(BertModel(config, add_pooling_layer=False))


def distilbert():
    from transformers import DistilBertConfig, DistilBertModel

    class Hidden2(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids, attention_mask):
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    return Hidden2(DistilBertModel(DistilBertConfig(vocab_size=TOKENS, dim=192, n_layers=3, n_heads=6, hidden_dim=768,
                                                    max_position_embeddings=64, attn_implementation="eager")))


def torchvision_model(name):
    return lambda: getattr(torchvision.models, name)(weights=None)


def timm_model(name):
    import timm
    return lambda: timm.create_model(name, pretrained=False)


def picture(side):
    return lambda batch: ((torch.randn(batch, 3, side, side),), ["x"])


def tokens(names):
    def make(batch):
        mask = torch.ones(batch, LENGTH, dtype=torch.int64)
        mask[:, LENGTH - 3:] = 0
        values = {"input_ids": torch.randint(0, TOKENS, (batch, LENGTH)), "attention_mask": mask,
                  "token_type_ids": torch.randint(0, 2, (batch, LENGTH))}
        return tuple(values[name] for name in names), names
    return make


NETWORKS = {
    "resnet18": (torchvision_model("resnet18"), picture(224)),
    "resnet50": (torchvision_model("resnet50"), picture(224)),
    "mobilenet_v2": (torchvision_model("mobilenet_v2"), picture(224)),
    "mobilenet_v3": (torchvision_model("mobilenet_v3_small"), picture(224)),
    "efficientnet_lite0": (timm_model("efficientnet_lite0"), picture(224)),
    "efficientnet_lite1": (timm_model("efficientnet_lite1"), picture(240)),
    "efficientnet_lite2": (timm_model("efficientnet_lite2"), picture(260)),
    "convnext_tiny": (torchvision_model("convnext_tiny"), picture(224)),
    "vit_tiny": (timm_model("vit_tiny_patch16_224"), picture(224)),
    "vit_small": (timm_model("vit_small_patch16_224"), picture(224)),
    "swin": (timm_model("swin_tiny_patch4_window7_224"), picture(224)),
    "mobilevit": (timm_model("mobilevit_xxs"), picture(128)),
    "encoder": (Encoder, lambda batch: ((torch.randn(batch, 8, 64),), ["x"])),
    "unet": (UNet, picture(64)),
    "bert": (lambda: bert("eager"), tokens(["input_ids", "attention_mask", "token_type_ids"])),
    "bert_sdpa": (lambda: bert("sdpa"), tokens(["input_ids", "attention_mask", "token_type_ids"])),
    "distilbert": (distilbert, tokens(["input_ids", "attention_mask"])),
}


def randomise(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def export(network, inputs, path, dynamo, dynamic):
    values, names = inputs(2 if dynamic else 1)
    options = {"input_names": names, "output_names": ["y"], "dynamo": dynamo, "opset_version": 18 if dynamo else 17}
    if dynamic and dynamo:
        options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in names)
        options["external_data"] = False
    elif dynamic:
        options["dynamic_axes"] = {name: {0: "batch"} for name in [*names, "y"]}
    elif dynamo:
        options["external_data"] = False
    with torch.no_grad():
        torch.onnx.export(network, values, path, verbose=False, **options)


def main():
    folder, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:] or NETWORKS
    folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for name in wanted:
        make, inputs = NETWORKS[name]
        torch.manual_seed(0)
        network = randomise(make())
        for dynamo in (False, True):
            for dynamic in (True, False):
                path = folder / f"{name}-{'dynamo' if dynamo else 'script'}-{'dynamic' if dynamic else 'one'}.onnx"
                try:
                    export(network, inputs, str(path), dynamo, dynamic)
                    print(f"ok   {path.name}", flush=True)
                except Exception as problem:
                    path.unlink(missing_ok=True)
                    print(f"not exported {path.name}: {str(problem).strip().splitlines()[0][:150]}", flush=True)
                    if "-v" in sys.argv:
                        traceback.print_exc()


if __name__ == "__main__":
    main()
