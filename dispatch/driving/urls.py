"""Addresses of the pages by link. Short, for they are sent as text messages and printed on plugs."""

from django.urls import path

from dispatch.driving import views

urlpatterns = [
    path("go/worker.js", views.worker, name="drive-worker"),
    path("go/at/<str:code>/", views.at_plug, name="at-plug"),
    path("go/<str:token>/", views.drive, name="drive"),
    path("go/<str:token>/now/", views.drive_now, name="drive-now"),
    path("go/<str:token>/language/", views.language, name="drive-language"),
    path("go/<str:token>/do/<str:deed>/", views.press, name="drive-press"),
    path("eta/<str:token>/", views.arrival, name="eta"),
    path("eta/<str:token>/now/", views.arrival_now, name="eta-now"),
]
