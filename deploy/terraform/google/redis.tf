# Memorystore for Redis: a primary and a replica, with a password and TLS, reached inside of the network alone.

resource "google_redis_instance" "main" {
  name                    = var.name
  region                  = var.region
  tier                    = "STANDARD_HA"
  memory_size_gb          = var.redis_memory_gb
  redis_version           = "REDIS_7_2"
  authorized_network      = var.network
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  customer_managed_key    = google_kms_crypto_key.main.id
  redis_configs = {
    # An evicted key would look to readers like an entity without a row; a push refuses any other policy.
    maxmemory-policy = "noeviction"
  }
  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_kms_crypto_key_iam_member.main]
}
