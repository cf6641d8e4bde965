"""What is kept for inference: trunk → pooling → bottleneck → unit vector."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.errors import UsageError


class Bottleneck(nn.Module):
    """Pools a feature map and maps it to D numbers: pool → Linear → BatchNorm.

    The paper's bottleneck goes on with ReLU and dropout; here these open the classifier
    (`exits.PlaceClassifier`), so that an embedding has both signs and no noise.

    Args:
        pool: maps [B, C, h, w] to [B, C].
        channels: C.
        dim: D.

    Raises:
        UsageError: `dim` is not positive.
    """

    def __init__(self, pool: nn.Module, channels: int, dim: int) -> None:
        if dim < 1:
            raise UsageError("embedding_dim", f"is {dim}", "give a positive number")
        super().__init__()
        self.pool = pool
        self.linear = nn.Linear(channels, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, features: Tensor) -> Tensor:
        """Maps float [B, C, h, w] to float [B, D], not normalised."""
        out: Tensor = self.norm(self.linear(self.pool(features)))
        return out


def unit(vectors: Tensor) -> Tensor:
    """L2-normalises the rows of [B, D], in float32."""
    return functional.normalize(vectors.float(), dim=1)


class Embedder(nn.Module):
    """Images to place embeddings, and nothing else: the network that is shipped.

    Args:
        trunk: maps images to feature maps [B, C, h, w], shallow to deep.
        head: pools the deepest.
    """

    def __init__(self, trunk: nn.Module, head: Bottleneck) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, image: Tensor) -> Tensor:
        """Embeds normalised images.

        Args:
            image: float [B, 3, H, W].

        Returns:
            float32 [B, D], L2-normalised.
        """
        return unit(self.head(self.trunk(image)[-1]))
