"""Devices that need not be at hand: what they hold and how fast they are said to be. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peftcost.core.memory import format_bytes, parse_bytes
from peftcost.cost.rates import Rates
from peftcost.data.yaml_file import problems_of, read_yaml
from peftcost.errors import UserError, did_you_mean

EFFICIENCY = 0.4
"""Share of the peak that eager transformer training reaches in its matrix products; 0.3-0.5 is usual (for example
Chowdhery et al. 2022, PaLM, table 3: 21-46 % of the peak; Dao 2023, FlashAttention-2, table 1: 31-72 %)."""
BANDWIDTH_SHARE = 0.7
"""Share of the memory bandwidth that elementwise kernels reach."""
KERNEL_SECONDS = 8e-6
"""What PyTorch takes to start one operator on a GPU without graphs."""
ELEMENT_BYTES = 12
"""Read, written and kept for the backward pass, per element of an activation in fp32."""

PROCESS_BYTES = {"cuda": 10**9, "mps": 10**9, "cpu": 12 * 10**8}
"""Beside the tensors: CUDA's context and kernels; on a CPU the interpreter with its libraries."""
TENSOR_SLACK = {"cuda": 1.08, "mps": 1.2, "cpu": 1.8}
"""What the process holds per byte of live tensors: fragmentation; glibc's malloc keeps up to 1.8 times as much."""


class Machine(BaseModel):
    """flops_per_second: dense peak by precision (fp32, bf16, fp16). bytes_per_second: of the memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    kind: Literal["cuda", "mps", "cpu"] = "cuda"
    memory_bytes: int = Field(gt=0)
    flops_per_second: dict[str, float]
    bytes_per_second: float = Field(gt=0)
    efficiency: float = Field(default=EFFICIENCY, gt=0, le=1)

    def rates(self, precision: str) -> Rates:
        """Published peaks at the stated efficiency; fp32's where the precision's own is not known."""
        flop = 1 / (self.efficiency * self.flops_per_second.get(precision, self.flops_per_second["fp32"]))
        byte = 1 / (BANDWIDTH_SHARE * self.bytes_per_second)
        return Rates(
            {
                "matmul_flops": flop,
                "attention_flops": flop,
                "random_elements": ELEMENT_BYTES * byte,
                "curved_elements": ELEMENT_BYTES * byte,
                "gathered_elements": ELEMENT_BYTES * byte,
                "optimizer_elements": 28 * byte,  # reads parameter, gradient and two moments, writes three
                "moved_bytes": byte,
                "int8_elements": 5 * byte,
                "nf4_elements": 4.5 * byte,
                "kernels": KERNEL_SECONDS,
            }
        )


PUBLISHED = {
    # NVIDIA's data sheets: H100 SXM, A100 80GB SXM, RTX 4090 (Ada white paper, appendix A), T4. Dense, no sparsity.
    "h100": Machine(
        name="H100 80GB SXM",
        memory_bytes=80 * 10**9,
        flops_per_second={"fp32": 67e12, "bf16": 989e12, "fp16": 989e12},
        bytes_per_second=3.35e12,
    ),
    "a100-80gb": Machine(
        name="A100 80GB SXM",
        memory_bytes=80 * 10**9,
        flops_per_second={"fp32": 19.5e12, "bf16": 312e12, "fp16": 312e12},
        bytes_per_second=2.039e12,
    ),
    "rtx4090": Machine(
        name="GeForce RTX 4090",
        memory_bytes=24 * 10**9,
        flops_per_second={"fp32": 82.6e12, "bf16": 165.2e12, "fp16": 165.2e12},
        bytes_per_second=1.008e12,
    ),
    "t4": Machine(
        name="T4",
        memory_bytes=16 * 10**9,
        flops_per_second={"fp32": 8.1e12, "fp16": 65e12},
        bytes_per_second=3.2e11,
    ),
}


def find_machine(name: str) -> Machine:
    """A published one by name, or one from a YAML file. UserError with the nearest name."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        return read_machine(Path(name))
    guess = did_you_mean(name, [*PUBLISHED, "cpu", "this"])
    raise UserError(
        f"There is no device {name!r}.{guess} Known are: {', '.join(PUBLISHED)}, cpu, this; or a YAML file (docs/plan.md)."
    )


def read_machine(path: Path) -> Machine:
    """A device's file: the fields of `Machine`; memory as 24GB or in bytes."""
    if not path.is_file():
        raise UserError(f"There is no device file {path}; docs/plan.md shows how one is written.")
    raw = read_yaml(path)
    if isinstance(raw, dict) and isinstance(raw.get("memory_bytes"), str):
        raw = {**raw, "memory_bytes": parse_bytes(raw["memory_bytes"])}
    try:
        machine = Machine.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{path} is no device: {problems_of(error)}.") from error
    if "fp32" not in machine.flops_per_second:
        raise UserError(f"{path}: flops_per_second lacks fp32; give the peak of full precision too.")
    return machine


def needed_bytes(peak_bytes: int, kind: str) -> int:
    """What a device must have free for a training whose live tensors peak there."""
    return round(TENSOR_SLACK[kind] * peak_bytes + PROCESS_BYTES[kind])


def why_it_cannot_fit(peak_bytes: int, memory_bytes: int, kind: str) -> str | None:
    """Why a training of these peak_bytes does not fit a device of this memory (0 if unknown), or None."""
    needs = needed_bytes(peak_bytes, kind)
    if not 0 < memory_bytes < needs:
        return None
    return f"needs {format_bytes(needs)} of memory, and the device has {format_bytes(memory_bytes)}"
