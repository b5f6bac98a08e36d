# One key for all that is at rest, and the right to use it for the services that keep it.

data "google_project" "current" {
  project_id = var.project
}

data "google_storage_project_service_account" "current" {}

data "google_bigquery_default_service_account" "current" {}

resource "google_kms_key_ring" "main" {
  name     = var.name
  location = var.region
}

resource "google_kms_crypto_key" "main" {
  name            = var.name
  key_ring        = google_kms_key_ring.main.id
  rotation_period = "7776000s"
  lifecycle {
    prevent_destroy = true
  }
}

# BigQuery and the bucket need a key in their own location, which may be EU or US.
resource "google_kms_key_ring" "data" {
  name     = "${var.name}-data"
  location = lower(var.location) == "eu" ? "europe" : lower(var.location)
}

resource "google_kms_crypto_key" "data" {
  name            = "${var.name}-data"
  key_ring        = google_kms_key_ring.data.id
  rotation_period = "7776000s"
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "data" {
  for_each = {
    bigquery = data.google_bigquery_default_service_account.current.email
    storage  = data.google_storage_project_service_account.current.email_address
  }

  crypto_key_id = google_kms_crypto_key.data.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}

resource "google_kms_crypto_key_iam_member" "main" {
  for_each = {
    redis   = "service-${data.google_project.current.number}@cloud-redis.iam.gserviceaccount.com"
    secrets = "service-${data.google_project.current.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
  }

  crypto_key_id = google_kms_crypto_key.main.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}
