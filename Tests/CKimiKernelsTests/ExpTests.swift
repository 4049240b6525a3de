import CKimiKernels
import Glibc
import Testing

/// The mathematics library's exp, in double precision.
func exponential(_ x: Double) -> Double { exp(x) }

/// ck_exp, and the table of levels.
@Suite struct ExpTests {
    @Test("At most 2 units in the last place from the true value")
    func accuracy() {
        var worst = 0.0
        func check(_ x: Float) {
            let exact = exponential(Double(x))
            worst = max(worst, abs(Double(ck_exp(x)) - exact) / Double(Float(exact).ulp))
        }
        // Every 97th float, by bits, from -87 up to 0 and from 0 up to 88.
        for bits in stride(from: Float(0).bitPattern, through: Float(88).bitPattern, by: 97) {
            check(Float(bitPattern: bits))
        }
        for bits in stride(from: Float(-0.0).bitPattern, through: Float(-87).bitPattern, by: 97) {
            check(Float(bitPattern: bits))
        }
        #expect(worst <= 2, "worst error \(worst) ulp")
    }

    @Test("The ends: exactly 0, no denormals, infinity, NaN")
    func ends() {
        for x in [-87.4001, -88, -100, -1e10, -Float.greatestFiniteMagnitude, -.infinity] as [Float] {
            #expect(ck_exp(x).bitPattern == 0, "\(x)")
        }
        for x in [88.8001, 89, 1000, .greatestFiniteMagnitude, .infinity] as [Float] {
            #expect(ck_exp(x) == .infinity, "\(x)")
        }
        #expect(ck_exp(.nan).isNaN && ck_exp(-.nan).isNaN && ck_exp(Float(bitPattern: 0x7f80_0001)).isNaN)
        #expect(ck_exp(0) == 1 && ck_exp(-0.0) == 1 && ck_exp(0x1p-149) == 1 && ck_exp(-0x1p-149) == 1)
        for bits in Float(-87).bitPattern...Float(-87.5).bitPattern {
            let y = ck_exp(Float(bitPattern: bits))
            #expect(y == 0 || y.isNormal)
        }
        for bits in Float(88.7).bitPattern...Float(88.8).bitPattern {
            let x = Float(bitPattern: bits)
            let y = ck_exp(x)
            #expect(y == .infinity ? x > 88.72 : y > 3.3e38)
        }
    }
}

@Suite struct DispatchTests {
    @Test("The scalar level is always there; levels above the best are not")
    func levels() throws {
        let best = ck_isa_best()
        #expect((0..<5).contains(best))
        for isa in Int32(0)..<5 {
            let kernels = ck_kernels_for(isa)
            #expect((kernels != nil) == (isa <= best))
            if let kernels {
                #expect(kernels.pointee.isa == isa)
                #expect(String(cString: kernels.pointee.name) == ["scalar", "avx2", "avx512", "avx512vnni", "amx"][Int(isa)])
            }
        }
    }

    /// 5 is a place for NEON, which has no kernels.
    @Test("Unknown levels and types", arguments: [-1, 5, 6, 100, Int32.max, Int32.min])
    func unknown(number: Int32) {
        #expect(ck_kernels_for(number) == nil)
        #expect(number == 4 || ck_type_bits(number) == 0)
    }

    @Test("Sizes of the element types", arguments: Element.allCases)
    func bits(element: Element) { #expect(ck_type_bits(element.rawValue) == element.bits) }
}
