"""Compiled kernels (numba): signed distance, colour, sphere tracing and point labels of packed shapes.

numba compiles with the LLVM in its own wheel, so no compiler is needed on the machine. Distances are
bounds, not exact, after cuts and for ellipsoids; a step factor below 1 keeps the tracing safe.
"""

import math

import numba
import numpy as np

_JIT = numba.njit(cache=True, fastmath=True, nogil=True)


@_JIT
def _polygon(x: float, y: float, outlines: np.ndarray, first: int, count: int) -> float:
    """Exact signed distance to a closed polygon, negative inside."""
    best = 1e9
    inside = False
    j = first + count - 1
    for i in range(first, first + count):
        ax, ay, bx, by = outlines[i, 0], outlines[i, 1], outlines[j, 0], outlines[j, 1]
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        t = (wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-12)
        t = min(max(t, 0.0), 1.0)
        dx, dy = wx - ex * t, wy - ey * t
        best = min(best, dx * dx + dy * dy)
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
        j = i
    d = math.sqrt(best)
    return -d if inside else d


@_JIT
def _primitive(kind: int, x: float, y: float, z: float, p: np.ndarray, outlines: np.ndarray, first: int,
               count: int) -> float:  # fmt: skip
    if kind == 0:  # box
        r = p[3]
        qx, qy, qz = abs(x) - p[0] + r, abs(y) - p[1] + r, abs(z) - p[2] + r
        mx, my, mz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
        return math.sqrt(mx * mx + my * my + mz * mz) + min(max(qx, max(qy, qz)), 0.0) - r
    if kind == 1:  # ellipsoid
        ax, ay, az = x / p[0], y / p[1], z / p[2]
        k0 = math.sqrt(ax * ax + ay * ay + az * az)
        bx, by, bz = ax / p[0], ay / p[1], az / p[2]
        k1 = math.sqrt(bx * bx + by * by + bz * bz)
        if k1 < 1e-6:
            return -min(p[0], min(p[1], p[2]))
        return k0 * (k0 - 1.0) / k1
    if kind == 2:  # cone frustum
        rnd = min(p[3], p[2])
        r1, r2, h = max(p[0] - rnd, 0.0), max(p[1] - rnd, 0.0), p[2] - rnd
        q = math.sqrt(x * x + z * z)
        k2x, k2y = r2 - r1, 2.0 * h
        cax = q - min(q, r1 if y < 0.0 else r2)
        cay = abs(y) - h
        t = ((r2 - q) * k2x + (h - y) * k2y) / max(k2x * k2x + k2y * k2y, 1e-12)
        t = min(max(t, 0.0), 1.0)
        cbx, cby = q - r2 + k2x * t, y - h + k2y * t
        s = -1.0 if (cbx < 0.0 and cay < 0.0) else 1.0
        return s * math.sqrt(min(cax * cax + cay * cay, cbx * cbx + cby * cby)) - rnd
    if kind == 3:  # torus
        q = math.sqrt(x * x + z * z) - p[0]
        return math.sqrt(q * q + y * y) - p[1]
    if kind == 4:  # prism
        d = _polygon(x, y, outlines, first, count) + p[1]
        w = abs(z) - p[0] + p[1]
        m0, m1 = max(d, 0.0), max(w, 0.0)
        return min(max(d, w), 0.0) + math.sqrt(m0 * m0 + m1 * m1) - p[1]
    if kind == 5:  # lathe
        return _polygon(math.sqrt(x * x + z * z), y, outlines, first, count)
    if kind == 6:  # tapered capsule
        q = math.sqrt(x * x + z * z)
        b = (p[0] - p[1]) / max(p[2], 1e-9)
        b = min(max(b, -0.999), 0.999)
        a = math.sqrt(1.0 - b * b)
        k = -b * q + a * y
        if k < 0.0:
            return math.sqrt(q * q + y * y) - p[0]
        if k > a * p[2]:
            return math.sqrt(q * q + (y - p[2]) * (y - p[2])) - p[1]
        return q * a + y * b - p[0]
    # arc: a piece of a torus, symmetric about +y
    ax = abs(x)
    if p[3] * ax > p[2] * y:
        dx, dy = ax - p[0] * p[2], y - p[0] * p[3]
        q2 = dx * dx + dy * dy
    else:
        q = math.sqrt(ax * ax + y * y) - p[0]
        q2 = q * q
    return math.sqrt(q2 + z * z) - p[1]


@_JIT
def distance_at(x: float, y: float, z: float, kinds: np.ndarray, frames: np.ndarray, params: np.ndarray,
                outlines: np.ndarray) -> tuple[float, int]:  # fmt: skip
    """Signed distance bound at a point (negative inside), and the index of the nearest part's surface."""
    d = 1e9
    nearest, nearest_abs = 0, 1e9
    for i in range(kinds.shape[0]):
        f = frames[i]
        dx, dy, dz = x - f[9], y - f[10], z - f[11]
        far = math.sqrt(dx * dx + dy * dy + dz * dz) - f[12]
        cut = kinds[i, 1]
        blend = params[i, 4]
        if far > 0.02:
            if cut and d > 0.0:
                continue
            if not cut and far > d + blend and far > nearest_abs:
                continue
        lx = f[0] * dx + f[3] * dy + f[6] * dz
        ly = f[1] * dx + f[4] * dy + f[7] * dz
        lz = f[2] * dx + f[5] * dy + f[8] * dz
        di = _primitive(kinds[i, 0], lx, ly, lz, params[i], outlines, kinds[i, 2], kinds[i, 3])
        if cut:
            if -di > d:
                d = -di
                # The wall a cut leaves shows the cut's own material (the inside of a mug).
                if abs(di) <= nearest_abs:
                    nearest, nearest_abs = i, abs(di)
            continue
        if abs(di) <= nearest_abs:
            nearest, nearest_abs = i, abs(di)
        if blend > 0.0:
            h = max(blend - abs(d - di), 0.0) / blend
            d = min(d, di) - h * h * blend * 0.25
        else:
            d = min(d, di)
    return d, nearest


@_JIT
def _hash(i: int, j: int, k: int) -> float:
    n = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    n = (n << 13) ^ n
    n = (n * (n * n * 15731 + 789221) + 1376312589) & 0x7FFFFFFF
    return n / 2147483647.0


@_JIT
def _noise(x: float, y: float, z: float) -> float:
    """Value noise in [0, 1], cells of size 1."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
                total += weight * _hash(i + a, j + b, k + c)
    return total


@_JIT
def color_at(x: float, y: float, z: float, m: np.ndarray, out: np.ndarray) -> None:
    """Colour of a material (one row of PackedShape.materials) at a point, into out[3]."""
    pattern = int(m[0])
    s = m[7]
    x, y, z = x + 0.3 * m[8], y + 0.3 * m[9], z + 0.3 * m[10]
    u, v, w = x / s, y / s, z / s
    t = 0.0
    if pattern == 1:  # wood: stretched grain
        n = _noise(2.0 * u, 0.7 * v, 2.0 * w)
        t = 0.5 + 0.5 * math.sin(6.28 * (1.2 * u + 0.9 * w + 0.8 * n))
        t = 0.7 * t * t
    elif pattern == 2 or pattern == 3:  # metal, gold: broad sheen bands
        t = 0.5 + 0.5 * math.sin(4.0 * (v + 0.5 * u) + 1.5 * _noise(u, v, w))
        t = t * t * t
    elif pattern == 4:  # marble: veins
        n = _noise(1.5 * u, 1.5 * v, 1.5 * w) + 0.5 * _noise(3.0 * u, 3.0 * v, 3.0 * w)
        t = 1.0 - abs(math.sin(2.2 * (u + 0.7 * v) + 5.0 * n))
        t = t * t * t
    elif pattern == 5:  # glass: diagonal glints
        t = 0.5 + 0.5 * math.sin(5.0 * (u + v + w))
        t = t**6
    elif pattern == 6:  # leather: soft mottling
        t = 0.8 * _noise(2.0 * u, 2.0 * v, 2.0 * w)
    elif pattern == 7:  # fabric: weave
        t = 0.5 + 0.5 * math.sin(6.28 * u) * math.sin(6.28 * v) * math.sin(6.28 * w + 1.57)
    elif pattern == 8:  # concrete: speckle
        t = _noise(3.0 * u, 3.0 * v, 3.0 * w)
    elif pattern == 9:  # brick: courses and mortar
        row = math.floor(2.0 * v)
        fu = u + w + 0.5 * (row % 2)
        t = 1.0 if (2.0 * v - row < 0.2 or fu - math.floor(fu) < 0.12) else 0.0
    elif pattern == 10:  # rust: patches
        n = _noise(1.5 * u, 1.5 * v, 1.5 * w)
        t = min(max((n - 0.45) * 6.0, 0.0), 1.0)
    elif pattern == 11:  # leaf: blotches
        n = _noise(2.5 * u, 2.5 * v, 2.5 * w)
        t = min(max((n - 0.5) * 8.0, 0.0), 1.0)
    elif pattern == 12:  # zebra: wavy bands
        n = _noise(1.2 * u, 1.2 * v, 1.2 * w)
        t = 1.0 if math.sin(6.28 * (u + 0.6 * v + 0.5 * w) + 4.0 * n) > 0.0 else 0.0
    elif pattern == 13:  # checker
        t = float((math.floor(u) + math.floor(v) + math.floor(w)) & 1)
    elif pattern == 14:  # stripes, level
        t = 1.0 if v - math.floor(v) > 0.5 else 0.0
    elif pattern == 15:  # dots on a body-centred lattice
        fu, fv, fw = u - math.floor(u) - 0.5, v - math.floor(v) - 0.5, w - math.floor(w) - 0.5
        gu, gv, gw = abs(fu) - 0.5, abs(fv) - 0.5, abs(fw) - 0.5
        d0, d1 = fu * fu + fv * fv + fw * fw, gu * gu + gv * gv + gw * gw
        t = 1.0 if min(d0, d1) < 0.09 else 0.0
    elif pattern == 16:  # flame: tongues rising
        n = _noise(1.6 * u, 0.8 * v, 1.6 * w)
        t = min(max(0.9 - 1.4 * (y + 0.4) + 1.6 * (n - 0.4), 0.0), 1.0)
    elif pattern == 17:  # ice: facets
        n = _noise(1.5 * u, 1.5 * v, 1.5 * w)
        t = math.floor(n * 4.0) / 4.0
    for c in range(3):
        out[c] = m[1 + c] * (1.0 - t) + m[4 + c] * t


@_JIT
def _normal(x: float, y: float, z: float, kinds: np.ndarray, frames: np.ndarray, params: np.ndarray,
            outlines: np.ndarray, out: np.ndarray) -> None:  # fmt: skip
    e = 0.004
    total = 0.0
    for c in range(3):
        ox, oy, oz = (e if c == 0 else 0.0), (e if c == 1 else 0.0), (e if c == 2 else 0.0)
        up, _ = distance_at(x + ox, y + oy, z + oz, kinds, frames, params, outlines)
        down, _ = distance_at(x - ox, y - oy, z - oz, kinds, frames, params, outlines)
        out[c] = up - down
        total += out[c] * out[c]
    total = math.sqrt(max(total, 1e-18))
    for c in range(3):
        out[c] /= total


@_JIT
def trace(origin: np.ndarray, directions: np.ndarray, light: np.ndarray, ambient: float, box: np.ndarray,
          kinds: np.ndarray, frames: np.ndarray, params: np.ndarray, outlines: np.ndarray,
          materials: np.ndarray, rgb: np.ndarray, depth: np.ndarray,
          normals: np.ndarray) -> None:  # fmt: skip
    """Sphere trace rays origin[3] + t * directions[N, 3] (camera-space depth 1 per unit t) inside `box`
    [2, 3] (lowest and highest corner of the shape).

    Fills rgb [N, 3] (albedo times ambient + (1 - ambient) * max(0, n . light), misses white), depth [N]
    (inf at misses) and outward normals [N, 3].
    """
    albedo = np.empty(3, np.float32)
    normal = np.empty(3, np.float32)
    for r in range(directions.shape[0]):
        ux, uy, uz = directions[r, 0], directions[r, 1], directions[r, 2]
        norm = math.sqrt(ux * ux + uy * uy + uz * uz)
        ux, uy, uz = ux / norm, uy / norm, uz / norm
        rgb[r, 0], rgb[r, 1], rgb[r, 2] = 1.0, 1.0, 1.0
        normals[r, 0], normals[r, 1], normals[r, 2] = 0.0, 0.0, 0.0
        depth[r] = np.inf
        near, far = 0.0, 1e9  # the slab test against the box
        for c in range(3):
            u = ux if c == 0 else (uy if c == 1 else uz)
            o = origin[c]
            if abs(u) < 1e-9:
                if o < box[0, c] or o > box[1, c]:
                    far = -1.0
                continue
            t0, t1 = (box[0, c] - o) / u, (box[1, c] - o) / u
            near, far = max(near, min(t0, t1)), min(far, max(t0, t1))
        t = near
        for _ in range(64):
            if t >= far:
                break
            x, y, z = origin[0] + t * ux, origin[1] + t * uy, origin[2] + t * uz
            d, part = distance_at(x, y, z, kinds, frames, params, outlines)
            if d < 0.002:
                color_at(x, y, z, materials[part], albedo)
                _normal(x, y, z, kinds, frames, params, outlines, normal)
                lambert = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
                shade = ambient + (1.0 - ambient) * max(lambert, 0.0)
                for c in range(3):
                    rgb[r, c] = min(albedo[c] * shade, 1.0)
                    normals[r, c] = normal[c]
                depth[r] = t / norm
                break
            t += 0.95 * d


@_JIT
def label_points(points: np.ndarray, kinds: np.ndarray, frames: np.ndarray, params: np.ndarray,
                 outlines: np.ndarray, materials: np.ndarray, distance: np.ndarray, rgb: np.ndarray,
                 part: np.ndarray) -> None:  # fmt: skip
    """Fill distance [P], albedo rgb [P, 3] of the nearest part and its index [P] at points [P, 3]."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        d, nearest = distance_at(x, y, z, kinds, frames, params, outlines)
        distance[i] = d
        part[i] = nearest
        color_at(x, y, z, materials[nearest], rgb[i])


@_JIT
def project_points(points: np.ndarray, kinds: np.ndarray, frames: np.ndarray, params: np.ndarray,
                   outlines: np.ndarray) -> None:  # fmt: skip
    """Move points [P, 3] towards the surface, in place, by one step along the distance gradient."""
    normal = np.empty(3, np.float32)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        d, _part = distance_at(x, y, z, kinds, frames, params, outlines)
        _normal(x, y, z, kinds, frames, params, outlines, normal)
        for c in range(3):
            points[i, c] -= d * normal[c]
