# BigQuery: the dataset of the models, and the one of feature-sync's own tables. The job writes both, and reads its sources.

resource "google_bigquery_dataset" "main" {
  for_each = toset([var.dataset, "${var.dataset}_feature_sync"])

  dataset_id                 = each.value
  location                   = var.location
  delete_contents_on_destroy = false
  default_encryption_configuration {
    kms_key_name = google_kms_crypto_key.data.id
  }
  depends_on = [google_kms_crypto_key_iam_member.data]
}

resource "google_bigquery_dataset_iam_member" "writes" {
  for_each = google_bigquery_dataset.main

  dataset_id = each.value.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.push.member
}

resource "google_bigquery_dataset_iam_member" "reads" {
  for_each = var.source_datasets

  dataset_id = each.value
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.push.member
}

resource "google_project_iam_member" "runs_queries" {
  for_each = toset(["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"])

  project = var.project
  role    = each.value
  member  = google_service_account.push.member
}
