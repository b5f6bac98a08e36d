"""What operators watch: metrics, alerts, lineage, and the skew between serving and training."""
