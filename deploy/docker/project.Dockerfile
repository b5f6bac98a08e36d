# A dbt project on top of the image `job`: copy this file beside dbt_project.yml, with the .dockerignore of this folder.
#   docker build --file project.Dockerfile --build-arg JOB_IMAGE=feature-sync-job:VERSION --tag my-features:VERSION .
# Secrets stay out: profiles.yml asks for them with env_var(), and the cluster provides them.
ARG JOB_IMAGE=feature-sync-job:1.0.0
# checkov:skip=CKV_DOCKER_7:The tag stands in the argument, where checkov does not look.
FROM ${JOB_IMAGE}
COPY . /project
USER 10001:10001
HEALTHCHECK NONE
