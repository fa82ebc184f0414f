"""What an error says about the other processes of a run."""

from torch import distributed

_SIGNS = ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo", "nccl", "timed out")


def lost_peer(error: RuntimeError) -> bool:
    """Whether the error came from talking to another process, which as a rule is gone."""
    return isinstance(error, distributed.DistError) or any(sign in str(error).lower() for sign in _SIGNS)
