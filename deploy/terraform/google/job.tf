# The job that builds the project and pushes it, who it is, and the schedule that starts it.

resource "google_service_account" "push" {
  account_id   = "${var.name}-push"
  display_name = "Builds dbt models and pushes features"
}

resource "google_service_account" "schedule" {
  account_id   = "${var.name}-schedule"
  display_name = "Starts the job, and may do nothing else"
}

resource "google_cloud_run_v2_job" "push" {
  name                = "${var.name}-push"
  location            = var.region
  deletion_protection = true

  template {
    task_count  = 1
    parallelism = 1
    template {
      service_account = google_service_account.push.email
      timeout         = "${var.timeout_seconds}s"
      max_retries     = 0 # with another, two runs could meet
      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = var.network
          subnetwork = var.subnetwork
        }
      }
      containers {
        image   = var.image
        command = ["build-and-push"]
        resources {
          limits = {
            cpu    = "1"
            memory = "2Gi"
          }
        }
        env {
          name  = "FEATURE_SYNC_KEY_PREFIX"
          value = var.key_prefix
        }
        env {
          name  = "DBT_PROFILES_DIR"
          value = "/project"
        }
        env {
          name  = "GOOGLE_CLOUD_PROJECT"
          value = var.project
        }
        env {
          name = "FEATURE_SYNC_REDIS_URL"
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.main["redis-url"].secret_id
              version = "latest"
            }
          }
        }
        volume_mounts {
          name       = "redis"
          mount_path = dirname(local.authority_file)
        }
        volume_mounts {
          name       = "work"
          mount_path = "/work"
        }
      }
      volumes {
        name = "redis"
        secret {
          secret = google_secret_manager_secret.main["redis-authority"].secret_id
          items {
            path    = basename(local.authority_file)
            version = "latest"
          }
        }
      }
      volumes {
        name = "work"
        empty_dir {
          medium     = "MEMORY"
          size_limit = "512Mi"
        }
      }
    }
  }
  depends_on = [google_secret_manager_secret_iam_member.push, google_secret_manager_secret_version.main]
}

resource "google_cloud_run_v2_job_iam_member" "schedule" {
  name     = google_cloud_run_v2_job.push.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.schedule.member
}

resource "google_cloud_scheduler_job" "push" {
  name      = "${var.name}-push"
  region    = var.region
  schedule  = var.schedule
  time_zone = var.timezone
  retry_config {
    retry_count = 1
  }
  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.push.id}:run"
    oauth_token {
      service_account_email = google_service_account.schedule.email
    }
  }
}
