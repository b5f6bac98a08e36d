# Training sets, and copies of dbt's artifacts.

resource "google_storage_bucket" "artifacts" {
  # checkov:skip=CKV_GCP_62:Access is recorded by Cloud Audit Logs, for all buckets of a project.
  name                        = "${var.project}-${var.name}-artifacts"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning {
    enabled = true
  }
  encryption {
    default_kms_key_name = google_kms_crypto_key.data.id
  }
  lifecycle_rule {
    condition {
      age            = var.training_set_days
      matches_prefix = ["training-sets/"]
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.data]
}

resource "google_storage_bucket_iam_member" "push" {
  bucket = google_storage_bucket.artifacts.name
  role   = "roles/storage.objectUser"
  member = google_service_account.push.member
}
