// Rotation of pairs by the angles of a position: eight pairs in 16 lanes.
void CK_NAME(rope)(float *y, const float *x, const float *angles, size_t pairs) {
    size_t i = 0;
    for (; i + 8 <= pairs; i += 8) {
        lanes both = lanes_load(x + 2 * i);
        lanes straight = lanes_mul(both, lanes_twice(angles + i));
        // The sine's sign is turned where it is subtracted, which changes no other bit.
        lanes crossed = lanes_mul(lanes_swap_pairs(both), lanes_turn_even(lanes_twice(angles + pairs + i)));
        lanes_store(y + 2 * i, lanes_add(straight, crossed));
    }
    for (; i < pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], cosine = angles[i], sine = angles[pairs + i];
        float ac = a * cosine, bs = b * sine, bc = b * cosine, as = a * sine;
        y[2 * i] = ac - bs;
        y[2 * i + 1] = bc + as;
    }
}
