"""BigQuery through Google's own client: results come as Arrow, by the Storage Read API or as pages of its REST API."""
