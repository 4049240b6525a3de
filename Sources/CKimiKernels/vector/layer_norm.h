// Layer normalisation.
CK_INLINE lanes normed(lanes x, float mean, float r, lanes w, lanes b) {
    lanes d = lanes_sub(x, lanes_all(mean));
    return lanes_fma(lanes_mul(d, lanes_all(r)), w, b);
}

void CK_NAME(layer_norm)(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    const size_t whole = n / 16 * 16, rest = n - whole;
    lanes sum = lanes_zero(), squares = lanes_zero();
    for (size_t i = 0; i < whole; i += 16) sum = lanes_add(sum, lanes_load(x + i));
    if (rest) sum = lanes_choose_part(lanes_add(sum, lanes_load_part(x + whole, rest)), sum, rest);
    const float mean = lanes_sum(sum) / (float)n;
    for (size_t i = 0; i < whole; i += 16) {
        lanes d = lanes_sub(lanes_load(x + i), lanes_all(mean));
        squares = lanes_fma(d, d, squares);
    }
    if (rest) {
        lanes d = lanes_sub(lanes_load_part(x + whole, rest), lanes_all(mean));
        squares = lanes_fma_part(d, d, squares, rest);
    }
    const float r = 1.0f / sqrtf(lanes_sum(squares) / (float)n + eps);
    for (size_t i = 0; i < whole; i += 16)
        lanes_store(y + i, normed(lanes_load(x + i), mean, r, lanes_load(w + i), lanes_load(b + i)));
    if (rest) {
        lanes result = normed(lanes_load_part(x + whole, rest), mean, r, lanes_load_part(w + whole, rest),
                              lanes_load_part(b + whole, rest));
        lanes_store_part(y + whole, result, rest);
    }
}
