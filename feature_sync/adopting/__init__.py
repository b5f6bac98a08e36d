"""Adoption: guesses the settings that make existing models feature views, each guess with its reason."""

from feature_sync.adopting.adopter import Adopter, Adoption
from feature_sync.adopting.proposal import Asked, Proposal

__all__ = ["Adopter", "Adoption", "Asked", "Proposal"]
