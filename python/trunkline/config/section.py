"""What every section of the settings shares.   Owns the model's rules: frozen, unknown keys are errors."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
Network = IPv4Network | IPv6Network
HeaderName = Annotated[str, Field(min_length=2, max_length=64, pattern=r"^[A-Za-z0-9\-.!%*_+`'~]+$")]


class Section(BaseModel):
    """One section: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
