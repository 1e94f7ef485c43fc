"""EfficientNet-Lite2 through ONNX Runtime, for CPUs: the same numbers as torch's, in less time.

ONNX Runtime fuses each convolution with its clipping and lays the channels out in blocks as wide as the processor's
registers, which matters most for depthwise filters. The network is exported anew before the first picture (a second or
two, in memory), so there is no second file of weights that could be of another version.
"""

import io
import warnings
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder


def load_fast_encoder(device: str = "auto") -> ImageEncoder:
    """`ImageEncoder.load`, and on a CPU the same through ONNX Runtime. Raises UserError as that does."""
    encoder = ImageEncoder.load(device)
    return OnnxImageEncoder(encoder.network) if encoder.device == "cpu" else encoder


class OnnxImageEncoder(ImageEncoder):
    """`ImageEncoder` with another engine under `grid`."""

    engine = "ONNX Runtime, fp32"

    def __init__(self, network: EfficientNetLite2) -> None:
        super().__init__(network, "cpu")

    @cached_property
    def session(self) -> Any:
        """Made for the first picture: who searches by words needs none."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # it would list the weights that it folded
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the cores in between
        return onnxruntime.InferenceSession(_exported(self.network), options, providers=["CPUExecutionProvider"])

    @torch.inference_mode()
    def grid(self, pixels: Tensor) -> Tensor:
        """As `ImageEncoder.grid`: (N, rows, columns, 1280) of pixels (N, 3, H, W) in [-1, 1]."""
        [grid] = self.session.run(None, {"pixels": pixels.contiguous().numpy()})  # (N, 1280, H / 32, W / 32)
        return torch.from_numpy(grid).permute(0, 2, 3, 1)


def _exported(network: EfficientNetLite2) -> bytes:
    """The network up to its grid, as an ONNX file for any number and size of pictures."""
    file = io.BytesIO()
    free = {0: "n", 2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the exporter that can write to memory is the older one
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 224, 224),),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["pixels"],
            output_names=["grid"],
            dynamic_axes={"pixels": free, "grid": free},
        )
    return file.getvalue()
