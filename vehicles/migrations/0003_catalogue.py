"""The vehicle models Indian fleets drive. Rows nobody has checked at the source say so; existing rows are kept."""

from django.db import migrations

USABLE_SHARE = 0.92
MAKER = "Maker's data sheet: {kwh} kWh nominal, 92 % of it taken as usable"
UNVERIFIED = "Commonly published: {kwh} kWh nominal, 92 % taken as usable; not verified, check before planning on it"

SOCKET = ["is1293_15a"]
CAR = ["ccs2", "type2_socket", "type2_cable"]
SOCKET_CCS2 = ["ccs2", "is1293_15a"]
AC_ONLY = ["type2_socket", "type2_cable"]

# manufacturer, name, class, nominal kWh, plugs, AC kW, DC kW, planned Wh/km, read at the source?
MODELS = [
    ("Generic", "e-rickshaw, lead-acid", "3W", 5.0, SOCKET, 1, 0, 60, False),
    ("Mahindra", "Treo", "3W", 7.4, SOCKET, 2, 0, 60, False),
    ("Mahindra", "Treo Zor", "3W", 7.4, SOCKET, 2, 0, 75, False),
    ("Mahindra", "Zor Grand", "3W", 10.2, SOCKET, 3, 0, 80, False),
    ("Bajaj", "Maxima XL cargo E-TEC 12", "3W", 11.8, SOCKET, 3, 0, 75, False),
    ("Piaggio", "Ape E-Xtra FX", "3W", 8.0, SOCKET, 3, 0, 80, False),
    ("Altigreen", "neEV", "3W", 8.2, SOCKET, 3, 0, 80, False),
    ("Euler", "HiLoad", "3W", 12.4, SOCKET, 3, 0, 85, False),
    ("Euler", "Storm / LongRange", "LCV", 30.0, CAR, 3.3, 20, 160, False),
    ("Tata", "Ace EV", "LCV", 21.3, SOCKET_CCS2, 3.3, 15, 150, True),
    ("Tata", "Ace Pro EV", "LCV", 14.4, SOCKET_CCS2, 3.3, 10, 105, False),
    ("Mahindra", "ZEO 18", "LCV", 18.4, SOCKET_CCS2, 3.3, 20, 135, False),
    ("Mahindra", "ZEO 21", "LCV", 21.3, SOCKET_CCS2, 7, 20, 135, False),
    ("Switch", "IeV 3", "LCV", 25.6, CAR, 7, 25, 220, False),
    ("Switch", "IeV 4", "LCV", 32.2, CAR, 7, 30, 220, False),
    ("Montra", "Eviator", "LCV", 80.0, CAR, 7, 60, 330, False),
    ("Tata", "XPRES-T 165 (2021)", "4W", 16.5, ["bharat_dc001", "is1293_15a"], 3, 12, 105, True),
    ("Tata", "XPRES-T 213 (2021)", "4W", 21.5, ["bharat_dc001", "is1293_15a"], 3, 12, 115, True),
    ("Tata", "Tigor EV / XPRES-T 26", "4W", 26.0, CAR, 3.3, 25, 110, False),
    ("Tata", "Nexon EV (2020)", "4W", 30.2, CAR, 3.3, 25, 130, True),
    ("Tata", "Nexon EV Long Range", "4W", 40.5, CAR, 7.2, 50, 140, False),
    ("Citroen", "e-C3", "4W", 29.2, CAR, 3.3, 30, 120, False),
    ("MG", "ZS EV", "4W", 50.3, CAR, 7.4, 75, 150, False),
    ("MG", "Windsor EV", "4W", 38.0, CAR, 7.4, 45, 140, False),
    ("MG", "Comet EV", "4W", 17.3, AC_ONLY, 3.3, 0, 95, False),
    ("BYD", "e6", "4W", 71.7, CAR, 6.6, 60, 180, False),
    ("Renault", "Twizy", "4W", 6.1, SOCKET, 2, 0, 98, False),
    ("Olectra", "K7 (9 m bus)", "BUS", 150.0, ["ccs2"], 0, 80, 1000, False),
    ("Olectra", "K9 (12 m AC bus)", "BUS", 230.0, ["ccs2"], 0, 120, 1500, False),
    ("Switch", "EiV12 (12 m AC bus)", "BUS", 230.0, ["ccs2"], 0, 120, 1500, False),
    ("Generic", "55 t electric truck", "TRUCK", 250.0, ["ccs2"], 0, 120, 1800, False),
]


def add(apps, schema_editor):
    VehicleModel = apps.get_model("vehicles", "VehicleModel")
    for manufacturer, name, vehicle_class, kwh, plugs, ac_kw, dc_kw, wh_per_km, is_verified in MODELS:
        if VehicleModel.objects.filter(manufacturer__iexact=manufacturer, name__iexact=name).exists():
            continue
        VehicleModel.objects.create(
            manufacturer=manufacturer, name=name, vehicle_class=vehicle_class, plugs=plugs,
            battery_wh=round(kwh * 1000 * USABLE_SHARE), max_ac_power_w=round(ac_kw * 1000),
            max_dc_power_w=round(dc_kw * 1000), consumption_wh_per_km=wh_per_km, is_verified=is_verified,
            figures_source=(MAKER if is_verified else UNVERIFIED).format(kwh=kwh),
        )


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0002_positions")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
