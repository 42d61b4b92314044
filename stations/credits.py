"""Whose data a site is made of, and on what terms it may be shown; one meaning for the API and every page."""

from typing import TypedDict

from django.db.models import Q

from stations.models import ExternalRef, Location, Source


class Credit(TypedDict):
    """One source of what we show: `attribution` is the text it wants shown, `licence` the terms; either may be ''."""

    source: str
    licence: str
    attribution: str


def credits_of(location: Location) -> list[Credit]:
    """Its own network first, then whoever else speaks of a shared site; those that ask for nothing are left out."""
    sources = [location.source, *(_others(location) if location.is_shared else [])]
    return [
        Credit(source=each.name, licence=each.licence, attribution=each.attribution)
        for each in sources
        if each.licence or each.attribution
    ]


def _others(location: Location) -> list[Source]:
    """A private network of one fleet is nobody else's business."""
    named = ExternalRef.objects.filter(kind=ExternalRef.Kind.LOCATION, object_id=location.pk).values("source_id")
    seen = Q(organisation=None) | Q(organisation_id=location.organisation_id)
    return list(Source.objects.filter(seen, pk__in=named).exclude(pk=location.source_id).order_by("name", "pk"))


# credits_of() in SQL over stations_location l and stations_source s: an expression.
CREDITS = """CASE WHEN l.is_shared THEN (
        SELECT coalesce(json_agg(json_build_object(
            'source', k.name, 'licence', k.licence, 'attribution', k.attribution) ORDER BY k.id <> s.id, k.name, k.id),
            '[]')
        FROM stations_source k WHERE (k.licence <> '' OR k.attribution <> '') AND (k.id = s.id OR
            (k.organisation_id IS NULL OR k.organisation_id = l.organisation_id) AND EXISTS (
                SELECT 1 FROM stations_externalref x
                WHERE x.kind = 'location' AND x.object_id = l.id AND x.source_id = k.id)))
    WHEN s.licence <> '' OR s.attribution <> ''
    THEN json_build_array(json_build_object('source', s.name, 'licence', s.licence, 'attribution', s.attribution))
    ELSE '[]' END"""
