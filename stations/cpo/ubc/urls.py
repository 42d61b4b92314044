"""The page behind the codes on chargers."""

from django.urls import path

from stations.cpo.ubc import pages

urlpatterns = [path("", pages.scan, name="scan")]
