"""Adopting: makes feature views of the models that a project already has, by guesses that give their reasons."""

from feature_sync.adopting.adopter import Adopter, Adoption
from feature_sync.adopting.proposal import Asked, Proposal

__all__ = ["Adopter", "Adoption", "Asked", "Proposal"]
