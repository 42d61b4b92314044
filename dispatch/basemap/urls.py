"""Addresses of the street tiles."""

from django.urls import path

from dispatch.basemap import views

urlpatterns = [
    path("", views.about, name="basemap"),
    path("<slug:version>/<int:zoom>/<int:x>/<int:y>.mvt", views.street_tile, name="basemap-tile"),
]
