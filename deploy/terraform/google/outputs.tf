output "redis_url_secret" {
  description = "The secret with the URL of Redis; it names the file of the secret redis_authority_secret."
  value       = google_secret_manager_secret.main["redis-url"].id
}

output "redis_authority_secret" {
  description = "The secret with the authority of Redis's certificate."
  value       = google_secret_manager_secret.main["redis-authority"].id
}

output "artifacts_bucket" {
  description = "Where training sets go: extract -o gs://BUCKET/training-sets/..."
  value       = google_storage_bucket.artifacts.name
}

output "job" {
  description = "For a run by hand: gcloud run jobs execute."
  value       = google_cloud_run_v2_job.push.name
}
