# Memorystore has one password and no users: whoever reads this secret may write, too. Its certificate is of an authority of
# its own, which the job and the readers find where the URL names it.

locals {
  authority_file = "/secrets/redis/authority.pem"
  secrets = {
    redis-url       = "rediss://:${google_redis_instance.main.auth_string}@${google_redis_instance.main.host}:${google_redis_instance.main.port}/0?ssl_ca_certs=${local.authority_file}"
    redis-authority = join("\n", google_redis_instance.main.server_ca_certs[*].cert)
  }
}

resource "google_secret_manager_secret" "main" {
  for_each = toset(["redis-url", "redis-authority"])

  secret_id = "${var.name}-${each.key}"
  replication {
    user_managed {
      replicas {
        location = var.region
        customer_managed_encryption {
          kms_key_name = google_kms_crypto_key.main.id
        }
      }
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.main]
}

resource "google_secret_manager_secret_version" "main" {
  for_each = google_secret_manager_secret.main

  secret      = each.value.id
  secret_data = local.secrets[each.key]
}

resource "google_secret_manager_secret_iam_member" "push" {
  for_each = google_secret_manager_secret.main

  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.push.member
}

resource "google_secret_manager_secret_iam_member" "readers" {
  for_each = {
    for pair in setproduct(keys(google_secret_manager_secret.main), var.reader_members) : join(" ", pair) => pair
  }

  secret_id = google_secret_manager_secret.main[each.value[0]].id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value[1]
}
